"""What waits for a person, on every broker: this one's own questions, the copies of others', and a live look there.

The look is a stream like a log's: the asker opens it with a random id, the other broker answers with numbered pieces
and an end. It tells an asker what is asked about its own spawns, and everything where its grant has `view`, `send` or
`approve`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from relay.broker.asked_items import Item, earlier, item_from_content, item_of, item_view
from relay.broker.gate import Gate
from relay.broker.inbox import Hear
from relay.broker.looks import Looks, Seen, Telling, Told
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.presence import is_there
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import NEEDS_A_PERSON
from relay.core.values import frozen
from relay.core.wire import pack
from relay.spawn.asking import needs_of
from relay.store import peers, questions
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, LIVE, SpawnRow

WITHIN_S = 3.0
MOST_TOLD, MAX_TOLD = 500, 8 * 1024 * 1024
_MAY_SEE = ("view", "send", "approve")
LOOK = "a look at questions"


class ReviewServer:
    """Tells other brokers what is asked here.

    Args:
        own: this broker's id.
        store: what is asked.
        gate: who may see it.
        mesh: where it goes.
        clock: milliseconds since 1970.
    """

    def __init__(self, own: BrokerId, store: Store, gate: Gate, mesh: Mesh, clock: Callable[[], int]) -> None:
        self._own = own
        self._store = store
        self._gate = gate
        self._clock = clock
        self._telling = Telling(mesh, Kind.REVIEW_LIST, LOOK, self._told)

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.REVIEW_ASK: self._telling.asked}

    async def items(self) -> list[Item]:
        """Everything that is asked here, oldest first."""
        found = []
        for question in await self._store.all(questions.OPEN):
            row = await self._store.one(BY_ID, id=question.spawn)
            if row is not None and row.target == self._own:
                found.append(item_of(row, needs_of(question)))
        return found

    def close(self) -> None:
        """Stop answering."""
        self._telling.close()

    async def _told(self, origin: BrokerId, question: dict[str, Any]) -> Told:
        visible = [item for item in await self.items() if self._may_see(origin, item)]
        told = list(that_fit(visible))
        return Told(told, more=len(visible) - len(told))

    def _may_see(self, origin: BrokerId, item: Item) -> bool:
        return item.origin == origin or any(self._has(origin, verb) for verb in _MAY_SEE)

    def _has(self, origin: BrokerId, verb: str) -> bool:
        try:
            self._gate.require(origin, verb, own=False, now=self._clock())
        except RelayError:
            return False
        return True


def that_fit(found: list[Item]) -> Iterator[dict[str, Any]]:
    """Of more than a look can tell in time the first of each spawn, then their second ones, and so on."""
    before: Counter[str] = Counter()

    def place(item: Item) -> int:
        before[item.spawn] += 1
        return before[item.spawn]

    size = 0
    for item in sorted(found, key=place)[:MOST_TOLD]:
        content = item.to_content()
        size += len(pack(content))
        if size > MAX_TOLD:
            return
        yield content


@frozen
class Gathered:
    """What waits for a person.

    Attributes:
        items: all of it that was told, oldest first.
        silent: the brokers that could not be looked at, each with why.
        more: how many there are of those that told as many as one look can.
    """

    items: list[Item]
    silent: dict[BrokerId, str]
    more: dict[BrokerId, int]


class Review:
    """Gathers what waits for a person.

    Args:
        members: names.
        store: copies of what others said.
        mesh: the way to the others.
        server: what is asked here.
        absence: why a broker is not there, in words.
    """

    def __init__(
        self,
        members: Members,
        store: Store,
        mesh: Mesh,
        server: ReviewServer,
        absence: Callable[[BrokerId], str],
    ) -> None:
        self._members = members
        self._store = store
        self._mesh = mesh
        self._server = server
        self._absence = absence
        self._looks = Looks(mesh, Kind.REVIEW_ASK, LOOK, item_from_content, WITHIN_S)

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.REVIEW_LIST: self._looks.heard}

    async def listing(self) -> dict[str, Any]:
        """`relay review`: all that is asked, and the brokers that could not be looked at."""
        gathered = await self.gathered()
        label = self._members.label
        return {
            "questions": [item_view(each, self._members) for each in gathered.items],
            "unreachable": [label(each) | {"why": why} for each, why in gathered.silent.items()],
            "more": [label(each) | {"count": count} for each, count in gathered.more.items()],
        }

    async def of(self, row: SpawnRow) -> list[Item]:
        """All that another broker asks about a spawn now, oldest first; nothing where it does not say."""
        seen = await self._seen(row.target)
        return [each for each in (seen.items if seen else []) if each.spawn == row.id]

    async def gathered(self) -> Gathered:
        """What is asked everywhere."""
        others = [each.id for each in self._members.others]
        looks = await asyncio.gather(*map(self._seen, others))
        found = dict(zip(others, looks, strict=True))
        items = [*await self._server.items(), *(item for seen in looks if seen for item in seen.items)]
        items += await self._copies({each for each in others if found[each] is None})
        silent = {each: self._why(each) for each in others if found[each] is None}
        more = {each: seen.more for each, seen in found.items() if seen and seen.more}
        return Gathered(sorted(items, key=lambda item: (item.asked, item.request)), silent, more)

    async def _seen(self, broker: BrokerId) -> Seen[Item] | None:
        """What it tells, by this machine's clock; None where it does not."""
        seen = await self._looks.at(broker)
        if seen is None:
            return None
        ahead = peers.told_earlier(await self._store.one(peers.SKEW, id=broker))
        return replace(seen, items=[earlier(each, ahead) for each in seen.items])

    def _why(self, broker: BrokerId) -> str:
        return "it did not answer" if is_there(self._mesh, broker) else self._absence(broker)

    async def _copies(self, silent: set[BrokerId]) -> list[Item]:
        # what they last said of spawns that were asked for here
        rows = await self._store.all(LIVE)
        asked = [row for row in rows if row.target in silent and row.state in NEEDS_A_PERSON and row.needs]
        return [item_of(row, row.needs or {}) for row in asked]

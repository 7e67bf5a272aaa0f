"""What waits for a person, on every broker: this one's own questions, the copies of others', and a live look there.

The look is a stream like a log's: the asker opens it with a random id, the other broker answers with numbered pieces
and an end. It tells an asker what is asked about its own spawns, and everything where its grant has `view`, `send` or
`approve`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from relay.broker.asked_items import MAX_ITEM, Item, item_from_content, item_of, item_view
from relay.broker.gate import Gate
from relay.broker.inbox import Hear, Opened
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import NEEDS_A_PERSON
from relay.core.streams import STREAM_BYTES, stream_of
from relay.core.wire import pack
from relay.spawn.asking import needs_of
from relay.store import questions
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, LIVE

WITHIN_S = 3.0
MOST_ITEMS = 2_000
_MAY_SEE = ("view", "send", "approve")
_LOOK = "a look at questions"


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
        self._mesh = mesh
        self._clock = clock
        self._answering: dict[BrokerId, asyncio.Task[None]] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.REVIEW_ASK: self._asked}

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
        for task in self._answering.values():
            task.cancel()

    def _asked(self, each: Opened) -> None:
        origin, stream = each.header.origin, stream_of(each.body.content, _LOOK)
        if origin in self._answering:
            return  # one at a time: who asks again meanwhile is answered by neither, and asks again
        task = asyncio.get_running_loop().create_task(self._answer(origin, stream))
        self._answering[origin] = task
        task.add_done_callback(lambda done: self._answering.pop(origin, None))

    async def _answer(self, origin: BrokerId, stream: bytes) -> None:
        items: list[dict[str, Any]] = []
        n = size = 0
        for item in await self.items():
            if not self._may_see(origin, item):
                continue
            content = item.to_content()
            length = len(pack(content))
            if size + length > MAX_ITEM:
                self._say(origin, stream, n, items)
                n, items, size = n + 1, [], 0
            items.append(content)
            size += length
        self._say(origin, stream, n, items, end=True)

    def _say(
        self, origin: BrokerId, stream: bytes, n: int, items: list[dict[str, Any]], *, end: bool = False
    ) -> None:
        self._mesh.say(origin, Kind.REVIEW_LIST, {"stream": stream, "n": n, "items": items, "end": end})

    def _may_see(self, origin: BrokerId, item: Item) -> bool:
        return item.origin == origin or any(self._has(origin, verb) for verb in _MAY_SEE)

    def _has(self, origin: BrokerId, verb: str) -> bool:
        try:
            self._gate.require(origin, verb, own=False, now=self._clock())
        except RelayError:
            return False
        return True


class _Look:
    """One open look at another broker."""

    def __init__(self, target: BrokerId) -> None:
        self.target = target
        self.items: list[Item] = []
        self.n = 0
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def end(self, whole: bool) -> None:
        if not self.done.done():
            self.done.set_result(whole)


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
        self._looks: dict[bytes, _Look] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.REVIEW_LIST: self._listed}

    async def listing(self) -> dict[str, Any]:
        """`relay review`: all that is asked, and the brokers that could not be looked at."""
        items, silent = await self.gathered()
        unreachable = [self._members.label(each) | {"why": why} for each, why in silent.items()]
        return {"questions": [item_view(each, self._members) for each in items], "unreachable": unreachable}

    async def gathered(self) -> tuple[list[Item], dict[BrokerId, str]]:
        """All items, oldest first, and the brokers that could not be looked at, each with why."""
        others = [each.id for each in self._members.others]
        looks = await asyncio.gather(*(self._look(each) for each in others))
        found = dict(zip(others, looks, strict=True))
        items = [*await self._server.items(), *(item for seen in looks for item in seen or ())]
        items += await self._copies({each for each in others if found[each] is None})
        silent = {each: self._why(each) for each in others if found[each] is None}
        return sorted(items, key=lambda item: (item.asked, item.request)), silent

    def _why(self, broker: BrokerId) -> str:
        return "it did not answer" if self._mesh.has_way(broker) else self._absence(broker)

    async def _copies(self, silent: set[BrokerId]) -> list[Item]:
        # what they last said of spawns that were asked for here
        rows = await self._store.all(LIVE)
        asked = [row for row in rows if row.target in silent and row.state in NEEDS_A_PERSON and row.needs]
        return [item_of(row, row.needs or {}) for row in asked]

    async def _look(self, target: BrokerId) -> list[Item] | None:
        if not self._mesh.has_way(target):
            return None
        stream = os.urandom(STREAM_BYTES)
        look = self._looks[stream] = _Look(target)
        try:
            async with asyncio.timeout(WITHIN_S):
                self._mesh.say(target, Kind.REVIEW_ASK, {"stream": stream})
                return look.items if await look.done else None
        except TimeoutError:
            self._mesh.probe(target)
            return None
        finally:
            del self._looks[stream]

    def _listed(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        look = self._looks.get(stream_of(content, _LOOK))
        if look is None or look.target != origin or type(content["items"]) is not list:
            return
        if content["n"] != look.n or len(look.items) + len(content["items"]) > MOST_ITEMS:
            look.end(whole=False)  # a piece was lost on the way, or it tells more than anybody could read
            return
        look.n += 1
        look.items += [item_from_content(item, origin) for item in content["items"]]
        if content["end"]:
            look.end(whole=True)

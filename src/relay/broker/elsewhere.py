"""Spawns of other brokers that this one neither asked for nor runs: looked at where they run, and kept nowhere.

    ps, show, logs, attach, stop … ─ known here? ─ no ─► who lets this broker view, and is in reach, is asked
                                                        and speaks for its own spawns alone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from relay.broker.inbox import Hear
from relay.broker.lists import RECENT_ENDED, Asked, Found
from relay.broker.looks import Looks, Seen, Turns
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.presence import is_there
from relay.broker.requests import Requests
from relay.broker.sorting import in_order
from relay.broker.telling_spawns import AT_ONCE, LOOK, MOST_LISTED
from relay.broker.told_spawns import row_from_content
from relay.broker.waiting import Waiting
from relay.broker.words import named
from relay.core.errors import Code, Misuse, PeerFault, Refused, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import TERMINAL
from relay.core.values import frozen
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, SpawnRow

WITHIN_S = 3.0
LIST_WITHIN_S = 1.0
"""A list does not wait longer for one that does not answer: the rest is shown, and that one is named."""
THERE_S = 6.0
PATIENCE_S, PAUSE_S = 25.0, 0.3
AGAIN_S = 0.5  # between two looks at a spawn that is waited for
_AS_TYPED = ("states", "agent", "name", "labels", "since", "before", "all", "limit")


@frozen
class Around:
    """What others told for a list.

    Attributes:
        found: the list, with what is known here.
        silent: who was asked and told nothing, each with why.
    """

    found: Found
    silent: dict[BrokerId, str]


class Elsewhere:
    """Finds spawns, here or on any broker in reach that lets this one view.

    Args:
        members: names.
        store: what is known here.
        requests: finds what is known here.
        mesh: the way to the others.
        granted: what others say that this broker may do there.
        absence: why a broker is not there, in words.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        members: Members,
        store: Store,
        requests: Requests,
        mesh: Mesh,
        granted: Waiting,
        absence: Callable[[BrokerId], str],
        clock: Callable[[], int],
    ) -> None:
        self._members = members
        self._store = store
        self._requests = requests
        self._mesh = mesh
        self._granted = granted
        self._absence = absence

        def read(content: object, target: BrokerId) -> SpawnRow:
            return row_from_content(content, target, clock())

        turns = Turns(AT_ONCE)
        self._looks = Looks(mesh, Kind.SPAWNS_ASK, LOOK, read, WITHIN_S, turns)
        self._lists = Looks(mesh, Kind.SPAWNS_ASK, LOOK, read, LIST_WITHIN_S, turns)
        self._signs = Looks(mesh, Kind.SPAWNS_ASK, LOOK, read, THERE_S, turns)

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""

        def heard(each: object) -> None:
            self._looks.heard(each)  # type: ignore[arg-type]
            self._lists.heard(each)  # type: ignore[arg-type]
            self._signs.heard(each)  # type: ignore[arg-type]

        return {Kind.SPAWNS_LIST: heard}

    def refused(self, peer: BrokerId, envelope: bytes, error: PeerFault) -> None:
        """That broker will not have an envelope; nothing where that was none of ours."""
        self._looks.refused(peer, envelope, error)
        self._lists.refused(peer, envelope, error)
        self._signs.refused(peer, envelope, error)

    async def is_there(self, broker: BrokerId) -> bool:
        """Whether a broker answers anything within 6 s: to ask it for nothing is answered at once, or refused."""
        return await self._signs.at(broker, {"ref": "", "list": None}) is not None

    # one spawn

    async def find(self, ref: str) -> SpawnRow:
        """The spawn a person means, as it is known here, or else as its target tells it now.

        Raises:
            Misuse: `unknown_spawn`, or `ambiguous` with the candidates.
            Unreachable: it was named with its broker, and that one does not answer.
        """
        try:
            return await self._requests.find(ref)
        except Misuse as unknown:
            if unknown.code is not Code.UNKNOWN_SPAWN:
                raise
            return await self._asked_for(ref, unknown)

    async def find_at(self, ref: str, target: BrokerId) -> SpawnRow:
        """As `find`, of several the one on a broker; what is not known here is asked of that broker alone.

        Raises:
            Misuse, Unreachable: as of `find`.
        """
        try:
            return await self._requests.find(ref, target)
        except Misuse as unknown:
            if unknown.code is not Code.UNKNOWN_SPAWN or target == self._members.own:
                raise
            return await self._asked_for(ref if "@" in ref else f"{ref}@{target}", unknown)

    async def kept(self, ref: str, command: str) -> SpawnRow:
        """The spawn a person means, where this broker runs it or asked for it: the others can only look at it.

        Args:
            ref: which.
            command: what to type where that can be done, up to the spawn's id.

        Raises:
            Refused: it is another's.
            Misuse, Unreachable: as of `find`.
        """
        row = await self.find(ref)
        if await self.is_known(row):
            return row
        origin, target = self._members.name(row.origin), self._members.name(row.target)
        raise Refused(
            f"{row.name} is for {origin} and {target} alone to do this with",
            code=Code.NO_VERB,
            why=f"{origin} asked for it and {target} runs it; this broker may only look at it there",
            hint=f"on {origin}: relay {command} {row.id}",
        )

    async def find_again(self, ref: str) -> SpawnRow:
        """As `find`, for who had found it before: its broker, or this one, may be about to come back.

        Raises:
            Unreachable: it is not back within 25 s.
        """
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self.find(ref)
            except (Misuse, Unreachable) as error:
                away = isinstance(error, Unreachable) or error.code is Code.UNKNOWN_SPAWN
                if not away:
                    raise
                if asyncio.get_running_loop().time() > until:
                    raise Unreachable(error.message, why=error.why, hint=error.hint) from None
            await asyncio.sleep(PAUSE_S)

    async def now(self, row: SpawnRow) -> SpawnRow:
        """A spawn as it stands now; as it was where its target does not say."""
        known = await self._store.one(BY_ID, id=row.id)
        if known is not None or row.target == self._members.own:
            return known or row
        seen = await self._looks.at(row.target, {"ref": row.id, "list": None})
        return next((each for each in seen.items if each.id == row.id), row) if seen else row

    async def is_known(self, row: SpawnRow) -> bool:
        """Whether this broker keeps it, so that it hears by itself of what becomes of it."""
        return await self._store.one(BY_ID, id=row.id) is not None

    async def until(self, row: SpawnRow, states: Iterable[object], seconds: float) -> SpawnRow:
        """A spawn of which nothing is heard here by itself, once it is in one of these states or the time is over."""
        wanted, until = frozenset(states), asyncio.get_running_loop().time() + seconds
        row = await self.now(row)
        while row.state not in wanted and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(AGAIN_S, left))
            row = await self.now(row)
        return row

    async def _asked_for(self, ref: str, unknown: Misuse) -> SpawnRow:
        name, at, broker = ref.partition("@")
        target = self._members.resolve(broker) if at else None
        if target == self._members.own:
            raise unknown
        asked = self._may_tell() if target is None else [target]
        seen = dict(zip(asked, await self._at(self._looks, asked, {"ref": name, "list": None}), strict=True))
        if target is None:
            seen |= dict.fromkeys(self._would_tell())
        found = [row for each in seen.values() if each is not None for row in each.items if _is_meant(row, name)]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{each.name}@{self._members.name(each.target)} {each.id}" for each in found[:10])
            raise Misuse(f"{ref!r} may be several spawns", code=Code.AMBIGUOUS, why=listed, hint="name one by its id")
        raise self._none(unknown, target, seen)

    def _none(
        self, unknown: Misuse, target: BrokerId | None, seen: Mapping[BrokerId, Seen[SpawnRow] | None]
    ) -> Misuse | Unreachable:
        why = {each: self._why(each, told) for each, told in seen.items()}
        if target is not None and seen[target] is None:
            name = self._members.name(target)
            message = f"{unknown.message} that is known here, and {name} cannot be asked now"
            return Unreachable(message, why=why[target], hint=f"relay broker ping {name}")
        said = "; ".join(named(self._members.name(each), text) for each, text in why.items() if text)
        told = unknown.message + (" that is known here" if None in seen.values() else "")
        return Misuse(told, code=Code.UNKNOWN_SPAWN, why=said, hint=unknown.hint)

    def _why(self, broker: BrokerId, seen: Seen[SpawnRow] | None) -> str:
        if seen is not None:
            return seen.refusal
        return "it did not answer" if is_there(self._mesh, broker) else self._absence(broker)

    def _would_tell(self) -> list[BrokerId]:
        """Who is out of reach, and has let this broker view."""
        away = [each.id for each in self._members.others if not self._mesh.has_way(each.id)]
        return [each for each in away if (told := self._granted.granted_there(each)) is not None and "view" in told[0]]

    def _may_tell(self) -> list[BrokerId]:
        """Who is in reach and lets this broker view, as far as that is known."""
        others = [each.id for each in self._members.others if self._mesh.has_way(each.id)]
        return [each for each in others if (told := self._granted.granted_there(each)) is None or "view" in told[0]]

    async def _at(
        self, looks: Looks[SpawnRow], asked: Iterable[BrokerId], question: dict[str, object]
    ) -> list[Seen[SpawnRow] | None]:
        return list(await asyncio.gather(*(looks.at(each, question) for each in asked)))

    # lists

    async def around(self, params: Mapping[str, str], asked: Asked, known: Found) -> Around:
        """A list with what other brokers add to it.

        Args:
            params: what was asked for, as a client typed it.
            asked: the same, read.
            known: what is known here of it.
        """
        brokers = self._may_tell()
        if asked.wanted.target is not None:
            only = asked.wanted.target
            brokers = [] if only == self._members.own else [only]
        typed = {key: params[key] for key in _AS_TYPED if params.get(key)}
        typed |= {"origin": asked.wanted.origin} if asked.wanted.origin else {}
        typed |= {"states": ",".join(asked.wanted.states)} if asked.wanted.states else {}
        looks = await self._at(self._lists, brokers, {"ref": None, "list": typed})
        seen = dict(zip(brokers, looks, strict=True))
        silent = {each: why for each, told in seen.items() if (why := self._why(each, told))}
        told = [row for each in seen.values() if each is not None for row in each.items]
        return Around(await self._merged(asked, known, told), silent)

    async def _merged(self, asked: Asked, known: Found, told: list[SpawnRow]) -> Found:
        # what this broker keeps itself is shown once, by its own copy: that knows what a person made of its end
        rows = list(known.rows)
        shown = {row.id for row in rows}
        new = [row for row in told if row.id not in shown and await self._store.one(BY_ID, id=row.id) is None]
        rows = in_order([*rows, *new], asked.sort, asked.reverse, self._members.name)
        if not asked.everything:
            ended = sorted((row for row in rows if row.state in TERMINAL), key=lambda row: -row.since)
            left_out = {row.id for row in ended[RECENT_ENDED:]}
            rows = [row for row in rows if row.id not in left_out]
            matched = known.matched - len(known.rows) + len(rows)  # the limit has been kept here already
            return Found(rows[: asked.limit] if asked.limit else rows, matched, known.exact, known.seq)
        exact = known.exact and len(told) < MOST_LISTED
        limit = asked.limit or len(rows)
        return Found(rows[:limit], known.matched + len(new), exact, known.seq)


def _is_meant(row: SpawnRow, name: str) -> bool:
    return row.name == name or row.id.startswith(name.lower())

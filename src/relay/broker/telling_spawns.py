"""What runs here, told to who may `view`: a list as `relay ps` filters it, or the spawn that is meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from relay.broker.gate import Gate
from relay.broker.inbox import Hear
from relay.broker.lists import Lists
from relay.broker.looks import Telling, Told
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.reasons import Reasons
from relay.broker.told_spawns import content_of
from relay.core.errors import PeerFault, RelayError
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.kinds import Kind
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, BY_NAME, BY_PREFIX, SpawnRow

LOOK = "a look at spawns"
MOST_LISTED = 500
MOST_MEANT = 10
AT_ONCE = 4
MAX_REF = 128
MIN_PREFIX = 4
NO_VIEW = "its grant for this broker has no view of what others asked it for"


class SpawnsServer:
    """Tells other brokers what runs here.

    Args:
        members: names.
        store: what runs.
        gate: who may see it.
        reasons: why what waits here does.
        mesh: where it goes.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, members: Members, store: Store, gate: Gate, reasons: Reasons, mesh: Mesh, clock: Callable[[], int]
    ) -> None:
        self._own = members.own
        self._store = store
        self._gate = gate
        self._reasons = reasons
        self._clock = clock
        self._lists = Lists(store, members)
        self._telling = Telling(mesh, Kind.SPAWNS_LIST, LOOK, self._told, AT_ONCE)

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.SPAWNS_ASK: self._telling.asked}

    def close(self) -> None:
        """Stop answering."""
        self._telling.close()

    async def _told(self, origin: BrokerId, question: dict[str, Any]) -> Told:
        ref, listed = question["ref"], question["list"]
        may_view = self._gate.may_view(origin, self._clock())
        try:
            if type(ref) is str:
                rows = [row for row in await self._meant(ref) if may_view or row.origin == origin]
            elif may_view:
                # what it asked for itself it knows
                rows = [row for row in await self._listed(listed) if row.origin != origin]
            else:
                rows = []
        except RelayError as error:
            return Told(refusal=error.message)
        contents = await self._contents(rows, whole=len(rows) == 1 and type(ref) is str)
        return Told(contents, "" if contents or may_view else NO_VIEW)

    async def _contents(self, rows: Iterable[SpawnRow], whole: bool) -> list[dict[str, Any]]:
        rows, now = list(rows), self._clock()
        why = await self._reasons.of(rows)
        return [content_of(row, now, why.get(row.id, ""), whole) for row in rows]

    async def _meant(self, ref: str) -> list[SpawnRow]:
        if not 0 < len(ref) <= MAX_REF:
            return []
        if is_spawn_id(ref) and (row := await self._store.one(BY_ID, id=ref)) is not None:
            return [row] if row.target == self._own else []
        found = {row.id: row for row in await self._store.all(BY_NAME, name=ref, target=self._own)}
        if len(ref) >= MIN_PREFIX and ref.isalnum():
            begun = await self._store.all(BY_PREFIX, prefix=ref.lower())
            found |= {row.id: row for row in begun if row.target == self._own}
        return list(found.values())[:MOST_MEANT]

    async def _listed(self, params: object) -> list[SpawnRow]:
        if type(params) is not dict or not all(type(key) is type(text) is str for key, text in params.items()):
            raise PeerFault("a question for a list was refused", why="it has another form")
        asked = self._lists.read(params | {"broker": self._own, "sort": "created", "reverse": "0"})
        # no more is read than is told: each may bring a task of 200 KiB along
        asked = dataclasses.replace(asked, limit=min(asked.limit or MOST_LISTED, MOST_LISTED))
        return (await self._lists.found(asked)).rows

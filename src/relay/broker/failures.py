"""What ended badly, and what a person says of an end. The word stands at the spawn's origin, beside its state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from relay.broker.members import Members
from relay.broker.views import Views
from relay.core.errors import Code, Misuse
from relay.core.states import TERMINAL
from relay.store import spawns
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import FAILURES, SpawnRow, stands

WORDS = ("done", "failed", "pending")
PENDING = "pending"
ALL = "all"
MOST, AT_ONCE = 1_000, 100
Find = Callable[[str], Awaitable[SpawnRow]]
MAX_NOTES = 4_000
TAIL_LINES = 10


class Failures:
    """Lists failures, and keeps what persons say of them.

    Args:
        members: names.
        journal: where a word becomes durable.
        find: the spawn a person means, also one that only its target knows.
        views: shows them.
    """

    def __init__(self, members: Members, journal: Journal, find: Find, views: Views) -> None:
        self._members = members
        self._journal = journal
        self._find = find
        self._views = views

    async def listing(self) -> list[dict[str, Any]]:
        """`relay failures`: what this broker asked for, on any machine, newest end first."""
        own = self._members.own
        rows = await self._journal.store.all(FAILURES, origin=own, resolved=0, limit=MOST)
        return [line | {"tail": _tail(row), "next": _next(line)} for row in rows for line in [self._views.line(row)]]

    async def resolve(self, refs: list[str], word: str, notes: str, person: str) -> list[dict[str, Any]]:
        """Say of spawns that have ended that they are done, or have failed, or `pending`: take that back.

        Args:
            refs: which; `all`: every failure that nobody has resolved, or with `pending` that somebody has.
            word: `done`, `failed` or `pending`.
            notes: for people.
            person: who says so.

        Raises:
            Misuse: there is none such, it has not ended, or was asked for on another broker; nothing was changed.
        """
        if word not in WORDS:
            raise Misuse(
                f"{word[:40]!r} is no word for an end",
                why=f"the words are {', '.join(WORDS)}",
                hint="relay resolve ID done",
            )
        said = {"as": word, "notes": notes[:MAX_NOTES], "by": person[:128]}
        if refs == [ALL]:
            return [line async for lines in self._resolve_all(said) for line in lines]
        rows = [self._own(await self._find(ref)) for ref in refs]
        changed = await self._journal.commit(lambda entry: self._resolve(entry, rows, said))
        return [self._views.line(row) for row in changed]

    async def _resolve_all(self, said: dict[str, Any]) -> AsyncIterator[list[dict[str, Any]]]:
        """Of thousands some in each transaction: others want to write, and to be heard, meanwhile."""
        which = {"origin": self._members.own, "resolved": int(said["as"] == PENDING), "limit": AT_ONCE}

        def decide(entry: Entry) -> list[SpawnRow]:
            return self._resolve(entry, FAILURES.all(entry.tx, **which), said)

        while changed := await self._journal.commit(decide):
            yield [self._views.line(row) for row in changed]

    def _resolve(self, entry: Entry, rows: list[SpawnRow], said: dict[str, Any]) -> list[SpawnRow]:
        for row in rows:
            _require_end(spawns.require(entry.tx, row.id))
        for row in rows:
            spawns.resolve(entry.tx, row.id, None if said["as"] == PENDING else said | {"at": entry.now})
            entry.event("spawn.resolved", {"spawn": row.id, "as": said["as"]})
        return [spawns.require(entry.tx, row.id) for row in rows]

    def _own(self, row: SpawnRow) -> SpawnRow:
        if row.origin != self._members.own:
            where = self._members.name(row.origin)
            raise Misuse(
                f"{row.name} was asked for on {where}",
                code=Code.CONFLICT,
                why="what a person says of an end stands where the task was asked for",
                hint=f"on {where}: relay resolve {row.id} done",
            )
        return row


def _require_end(row: SpawnRow) -> None:
    if row.state not in TERMINAL:
        what, why = f"{row.name} has not ended", stands(row, row.origin)
        raise Misuse(what, code=Code.CONFLICT, why=why, hint=f"relay wait {row.id}")


def _tail(row: SpawnRow) -> list[str]:
    output = (row.result or {}).get("output_tail")
    return output.splitlines()[-TAIL_LINES:] if isinstance(output, str) else []


def _next(line: dict[str, Any]) -> str:
    hint = (line["error"] or {}).get("hint")
    if isinstance(hint, str) and hint:
        return hint
    return f"relay {'logs' if line['attempt'] else 'retry'} {line['id']}"  # what never ran has written nothing

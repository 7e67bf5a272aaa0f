"""What a new spawn comes after: references a person typed, resolved to ids, all on one broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from relay.broker.members import Members
from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL
from relay.core.wishes import AFTER_ANY, AFTER_SUCCESS, MAX_AFTER
from relay.spawn.succession import failed_predecessor, fits
from relay.store.spawn_rows import SpawnRow

Find = Callable[[str, BrokerId], Awaitable[SpawnRow]]
KEYS = {"after": AFTER_SUCCESS, "after_success": AFTER_SUCCESS, "after_any": AFTER_ANY}


class Predecessors:
    """Reads `after`, `after_success`, which is the same, and `after_any` of a client's request.

    Args:
        members: names.
        find: the spawn a person means, of several the one on a broker.
    """

    def __init__(self, members: Members, find: Find) -> None:
        self._members = members
        self._find = find

    async def resolved(self, body: dict[str, Any], target: BrokerId) -> dict[str, Any]:
        """The body with `after` as pairs of id and condition, as a request carries them.

        Args:
            body: of a request; its references are texts.
            target: the broker that is to run it.

        Raises:
            Misuse: one of them is no spawn, or none that this one can come after.
        """
        if body.keys().isdisjoint(KEYS):
            return body
        after = [
            [row.id, condition]
            for key, condition in KEYS.items()
            for ref in _refs(body, key)
            if self._counts(row := await self._find(ref, target), target, condition)
        ]
        if len({spawn for spawn, _ in after}) < len(after):
            raise Misuse(
                "one spawn is named twice",
                code=Code.BAD_AFTER,
                why="it has to end well, or just to end",
                hint="name it once: --after ID or --after-any ID",
            )
        return {key: value for key, value in body.items() if key not in KEYS} | {"after": after}

    def _counts(self, row: SpawnRow, target: BrokerId, condition: str) -> bool:
        if row.target != target:
            where, here = self._members.name(row.target), self._members.name(target)
            raise Misuse(
                f"this cannot come after {row.name}",
                code=Code.BAD_AFTER,
                why=f"{row.name} runs on {where} and this would run on {here}: only one broker can tell when"
                " a spawn has ended, also while others sleep",
                hint=f"relay wait {row.id} && relay spawn ...; or spawn it with --broker {where}",
            )
        never_there = row.target != self._members.own and row.at is None and row.state in TERMINAL
        if row.state in TERMINAL and not fits(condition, row.state) and never_there:
            raise failed_predecessor(row)
        return not never_there


def _refs(body: dict[str, Any], key: str) -> list[str]:
    refs = body.get(key) or []
    if not isinstance(refs, list) or not all(isinstance(ref, str) and ref for ref in refs) or len(refs) > MAX_AFTER:
        raise Misuse(
            f"what it comes {key.replace('_', ' ')} cannot be read",
            code=Code.BAD_AFTER,
            why=f"it is a list of at most {MAX_AFTER} spawns: ids, names or name@broker",
            hint="relay ps",
        )
    return refs

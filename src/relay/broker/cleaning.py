"""`relay clean`: the folders that spawns worked in, of this broker's home, once nobody needs them."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from relay.broker.trees import Trees
from relay.core.errors import PeerFault
from relay.core.states import TERMINAL
from relay.core.workplaces import change_of
from relay.spawn.worktrees.place import MIRRORS, Place, remove_tree, spawns_below
from relay.spawn.worktrees.workshop import Workshop
from relay.store.engine import Store
from relay.store.query import Tx
from relay.store.spawn_rows import BY_ID, SpawnRow

MIRROR_AGE_S = 30 * 86_400


class Cleaning:
    """Removes what is over.

    Args:
        own: this broker's id.
        store: the spawns.
        workshop: their places.
        trees: knows which changes have been fetched.
    """

    def __init__(self, own: str, store: Store, workshop: Workshop, trees: Trees) -> None:
        self._own = own
        self._store = store
        self._workshop = workshop
        self._trees = trees

    async def clean(self, older_s: float, is_trial: bool, now: int) -> dict[str, Any]:
        """Remove the folders of spawns that ended so long ago, and mirrors that nobody has used for 30 days.

        Args:
            older_s: seconds since the end.
            is_trial: only tell what would go.
            now: milliseconds since 1970.

        Returns:
            `removed` and `kept`, a map each, and the `bytes` that were freed.
        """
        removed, kept = list[dict[str, Any]](), list[dict[str, Any]]()
        for spawn in sorted(await asyncio.to_thread(spawns_below, self._workshop.root)):
            row = await self._store.one(BY_ID, id=spawn)
            place = self._workshop.place(spawn)
            told = {"spawn": spawn, "name": row.name if row else None, "path": str(place.tree)}
            if why := await self._why_kept(row, place, older_s, now):
                kept.append(told | {"why": why})
                continue
            size = await asyncio.to_thread(_bytes_below, place.tree, place.beside)
            if not is_trial and (why := await self._removed(spawn, place)):
                kept.append(told | {"why": why})
                continue
            removed.append(told | {"bytes": size})
        removed += await asyncio.to_thread(self._mirrors, is_trial, bool(kept))
        return {"removed": removed, "kept": kept, "bytes": sum(each["bytes"] for each in removed)}

    async def _removed(self, spawn: str, place: Place) -> str:
        """Remove a place, unless its spawn goes on in it by now; why it, or some of it, is still there."""

        def aside(tx: Tx) -> str:
            row = BY_ID.one(tx, id=spawn)
            if why := self._why_needed(row):
                return why
            place.set_aside()
            return ""

        try:
            if why := await self._store.write(aside):
                return why
            await self._workshop.remove(spawn)
        except OSError as fault:
            return f"not all of it could be removed: {fault.strerror}: {fault.filename}"
        return ""

    def _why_needed(self, row: SpawnRow | None) -> str:
        return f"it is {row.state}" if row is not None and row.target == self._own and row.state not in TERMINAL else ""

    async def _why_kept(self, row: SpawnRow | None, place: Place, older_s: float, now: int) -> str:
        if place.has_all_there_is and not self._why_needed(row):
            return "what it changed could not be brought back, and is here alone; remove it by hand"
        if row is None or row.target != self._own:
            return ""  # forgotten here: nobody can ask for it by name any more
        if why := self._why_needed(row):
            return why
        try:
            change = change_of(row.result)
        except PeerFault:
            change = None
        if change is not None and not await self._trees.is_delivered(row, change):
            return "what it changed has not been fetched by its origin yet"
        if row.result and row.result.get("branch") and change is None:
            return "what it changed could not be sent, and is here alone; remove it by hand"
        if now - row.since < older_s * 1000:
            return "it ended a short while ago"
        return ""

    def _mirrors(self, is_trial: bool, are_needed: bool) -> list[dict[str, Any]]:
        """Mirrors that no place may need any more: those that are kept see their objects."""
        root, found = self._workshop.root / MIRRORS, list[dict[str, Any]]()
        if are_needed or not root.is_dir():
            return found
        for path in root.iterdir():
            if time.time() - path.stat().st_mtime > MIRROR_AGE_S:
                size = _bytes_below(path)
                try:
                    if not is_trial:
                        remove_tree(path)
                except OSError:
                    continue  # a cache: it is tried again the next time
                found.append({"spawn": None, "name": None, "path": str(path), "bytes": size})
        return found


def _bytes_below(*folders: Path) -> int:
    total = 0
    for folder in folders:
        for at, _, names in os.walk(folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(at, name)).st_blocks * 512
                except OSError:
                    continue  # it went meanwhile
    return total

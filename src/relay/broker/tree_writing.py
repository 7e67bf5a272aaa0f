"""Hands what a spawn changed to a client that is to show or pull it: as files in a private folder of the client's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from relay.broker.blobs.arriving import arriving
from relay.broker.blobs.progress import Meter
from relay.broker.blobs.room import Blobs
from relay.broker.trees import CHANGE_NAME, TREE_NAME, Trees, no_change, tree_of
from relay.core.errors import Unreachable
from relay.core.ids import BrokerId
from relay.core.workplaces import Change, branch_of, change_of
from relay.store import blobs
from relay.store.journal import Journal
from relay.store.spawn_rows import SpawnRow

Line = dict[str, Any]


class TreeWriting:
    """Writes bundles out.

    Args:
        journal: rows.
        room: the blobs.
        trees: what came back.
        own: this broker's id.
    """

    def __init__(self, journal: Journal, room: Blobs, trees: Trees, own: BrokerId) -> None:
        self._own = own
        self._journal = journal
        self._room = room
        self._trees = trees

    async def write(self, row: SpawnRow, folder: str) -> AsyncIterator[Line]:
        """Write the bundles of a spawn into a folder, a line each of how far it is; the last one tells what they are.

        Args:
            row: the spawn.
            folder: an absolute path; there, and empty.

        Raises:
            Misuse: `no_change`.
            Unreachable: the change is not here yet.
        """
        change = change_of(row.result)
        if change is None:
            raise no_change(row, self._own)
        await self._journal.commit(lambda entry: self._trees.want(entry, row, change))
        is_to_come = partial(self._is_to_come, change)
        fetching = Meter("fetching")
        async for why in arriving(self._room.downloads, [change.address], is_to_come):
            fetching.note(change.size - self._room.downloads.left(change.address), change.size)
            yield fetching.line(why)
        blob = await self._journal.store.one(blobs.BY_HASH, hash=change.address)
        if blob is None or not blob.whole:
            download = self._room.downloads.of(change.address)
            raise Unreachable(
                f"what {row.name} changed is not here yet",
                why=(download.why if download is not None else "") or "the machine that has it does not send it now",
                hint="ask again when that machine is there: relay brokers",
            )
        await self._room.library.write_out(blob, os.path.join(folder, CHANGE_NAME), lambda moved, size: None)
        sent = await self._write_sent(row, folder)
        place = row.wishes.place
        assert place is not None
        tree = place.tree
        told = change.to_content() | {"branch": branch_of(row.name), "kind": tree.kind if tree else "repo"}
        told |= {"key": tree.key if tree else row.id, "sent": sent, "sent_ref": tree.ref if tree and sent else None}
        yield {"tree": told | {"change": CHANGE_NAME}, "to": folder}

    async def _write_sent(self, row: SpawnRow, folder: str) -> str | None:
        tree = tree_of(row)
        blob = None if tree is None else await self._journal.store.one(blobs.BY_HASH, hash=tree.address)
        if blob is None or not blob.whole:
            return None
        await self._room.library.write_out(blob, os.path.join(folder, TREE_NAME), lambda moved, size: None)
        return TREE_NAME

    async def _is_to_come(self, change: Change) -> bool:
        blob = await self._journal.store.one(blobs.BY_HASH, hash=change.address)
        return blob is None or not blob.whole

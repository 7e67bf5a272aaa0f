"""What a spawn changed, as text to look at: made of the bundle that came back, in a folder for a while."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

from relay.broker.tree_writing import TreeWriting
from relay.git.command import Failed
from relay.git.returning import Returned, show
from relay.git.rooms import DIFF, room
from relay.store.spawn_rows import SpawnRow

MOST = 512 * 1024
MOST_AT_ONCE = 2


class Differences:
    """Makes them.

    Args:
        writing: hands the bundles out.
        folder: where folders of a while are made; private.
    """

    def __init__(self, writing: TreeWriting, folder: str) -> None:
        self._writing = writing
        self._folder = folder
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def of(self, row: SpawnRow) -> dict[str, Any]:
        """The change as `git diff` shows it.

        Args:
            row: the spawn.

        Returns:
            `diff`: at most 512 KiB of it; `cut`: whether there is more; `branch`, `base`, `tip`.

        Raises:
            Misuse: `no_change`, or `bad_tree`: what it began from is not on this machine.
            Unreachable: the change is not here yet.
            PeerFault: what came is not what was told.
        """
        async with self._turns:
            with room(self._folder, DIFF) as scratch:
                tree: dict[str, Any] = {}
                async for line in self._writing.write(row, str(scratch)):
                    tree = line.get("tree", tree)
                returned = _returned(row, tree, scratch)
                text, is_cut = await asyncio.to_thread(_shown, returned, scratch)
        told = {"diff": text.decode("utf-8", "replace"), "cut": is_cut}
        return told | {key: tree[key] for key in ("branch", "base", "tip")}


def _returned(row: SpawnRow, tree: dict[str, Any], into: Path) -> Returned:
    sent = (into / tree["sent"], tree["sent_ref"]) if tree["sent"] and tree["sent_ref"] else None
    names = {key: tree[key] for key in ("kind", "key", "branch", "base", "tip")}
    return Returned(name=row.name, id=row.id, change=into / tree["change"], sent=sent, **names)


def _shown(returned: Returned, into: Path) -> tuple[bytes, bool]:
    """As much of it as is wanted: git is cut off behind it, so that a change that unfolds to gigabytes does not."""
    reading, writing = os.pipe()
    got = bytearray()

    def read() -> None:
        with open(reading, "rb", buffering=0) as pipe:
            while len(got) <= MOST and (piece := pipe.read(64 * 1024)):
                got.extend(piece)

    reader = threading.Thread(target=read, name="relay-diff")
    reader.start()
    try:
        with open(writing, "wb", buffering=0) as pipe:
            show(returned, into, into, False, False, pipe)
    except Failed:
        reader.join()
        if len(got) <= MOST:
            raise
    reader.join()
    return bytes(got[:MOST]), len(got) > MOST


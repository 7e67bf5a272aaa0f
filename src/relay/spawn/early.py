"""Attempt folders made while the decision on their spawn is still being committed.

Making one takes three fsyncs, committing takes another: side by side they cost one wait. A folder that is not
wanted after all is removed; one that a crash left behind is empty and is taken over by whoever needs that name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from relay.spawn.attempt import Attempt

KEEP_S = 5.0


def _make(root: Path, name: str) -> bool:
    try:
        # exclusive: a folder that is there belongs to an attempt, and is none of ours to remove
        os.mkdir(root / name, mode=0o700)
    except FileExistsError:
        return False
    Attempt.prepare(root, name)
    return True


class EarlyFolders:
    """Folders that may soon be wanted.

    Args:
        root: the folder of attempt folders.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[str, asyncio.Future[bool]] = {}

    def expect(self, name: str) -> None:
        """Begin to make a folder, off the loop."""
        if name in self._made:
            return
        loop = asyncio.get_running_loop()
        self._made[name] = loop.run_in_executor(None, _make, self._root, name)
        loop.call_later(KEEP_S, self._forget, name)

    async def take(self, name: str) -> bool:
        """Whether the folder was made here, and is ready."""
        making = self._made.pop(name, None)
        if making is None:
            return False
        try:
            return await making
        except OSError:
            return False

    def _forget(self, name: str) -> None:
        making = self._made.pop(name, None)
        if making is not None and making.done() and making.exception() is None and making.result():
            # on the loop, three small files: nobody can begin to use the name meanwhile
            with contextlib.suppress(OSError):
                shutil.rmtree(self._root / name)

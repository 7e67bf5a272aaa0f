"""Attempt folders made ahead: an attempt takes one by renaming it, and waits for no disk.

Making a folder durable takes three syncs, which is a tenth of a short spawn. A spare is durable before it is
offered; only its new name is not. Should a power cut take the new name back, the spare's record still tells:
its intent names the attempt, and `reclaim` gives it the name again before anything is recovered. A spare without
an intent has never started anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections import deque
from pathlib import Path

from relay.spawn.attempt import Attempt
from relay.spawn.shim import folder as layout
from relay.spawn.shim import record

KEEP = 8
PREFIX = "spare-"
REST_S = 0.01
_ATTEMPT = re.compile(r"[a-z2-7]{16}-[0-9]{1,6}\Z")


class Spares:
    """The spare folders of one broker.

    Args:
        root: the folder of attempt folders.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready: deque[str] = deque()
        self._making: asyncio.Future[str] | None = None

    def reclaim(self) -> None:
        """Sort out what an earlier run left; before any attempt is recovered. Blocks."""
        for path in self._root.glob(f"{PREFIX}*"):
            slots = _slots(path)
            if slots is None or (any(slots) and not self._renamed(path, slots[record.INTENT])):
                shutil.rmtree(path, ignore_errors=True)
            elif not any(slots):
                self._ready.append(path.name)

    def _renamed(self, path: Path, intent: dict[str, object] | None) -> bool:
        name = str((intent or {}).get("name", ""))
        if not _ATTEMPT.match(name) or (self._root / name).exists():
            return False
        path.rename(self._root / name)
        layout.sync_folder(str(self._root))
        return True

    def take(self, name: str) -> bool:
        """Give a spare this attempt's name; False where there is none, or the attempt has a folder."""
        self._top_up_soon()
        if not self._ready or (self._root / name).exists():
            return False
        spare = self._ready.popleft()
        try:
            os.rename(self._root / spare, self._root / name)
        except OSError:
            return False
        return True

    def _top_up_soon(self) -> None:
        # not at once: the disk is wanted for what the spare was taken for
        if self._making is None and len(self._ready) <= KEEP:
            loop = asyncio.get_running_loop()
            self._making = loop.create_future()
            loop.call_later(REST_S, self._make_one)

    def top_up(self) -> None:
        """Begin to make the spares there should be."""
        if self._making is None:
            self._make_one()

    def _make_one(self) -> None:
        self._making = asyncio.get_running_loop().run_in_executor(None, _make, self._root)
        self._making.add_done_callback(self._made)

    def _made(self, making: asyncio.Future[str]) -> None:
        self._making = None
        if making.cancelled() or making.exception() is not None:
            return
        self._ready.append(making.result())
        if len(self._ready) < KEEP:
            self._make_one()


def _make(root: Path) -> str:
    name = PREFIX + os.urandom(6).hex()
    Attempt.prepare(root, name)
    return name


def _slots(path: Path) -> list[dict[str, object] | None] | None:
    with contextlib.suppress(OSError, ValueError):
        fd = os.open(path / layout.RECORD, os.O_RDONLY)
        try:
            return record.read_slots(fd)
        finally:
            os.close(fd)
    return None

"""Attempt folders made ahead: an attempt takes one by renaming it, and waits for no disk.

Making a folder durable takes three syncs, which is a tenth of a short spawn. A spare is durable before it is
offered; only its new name is not. Should a power cut take the new name back, the spare's record still tells:
its intent, where that is on the disk, names the attempt, and `reclaim` gives it the name again before anything is
recovered. One without an intent may have started something that the store calls lost (`recovery.presume_begun`); what
that wrote was on the disk after the name, so that with the name it is gone, and a log that is not empty is no spare's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
from collections import deque
from collections.abc import Callable
from pathlib import Path

from relay.spawn import token
from relay.spawn.shim import folder as layout
from relay.spawn.shim import record
from relay.spawn.taking_away import take_away

KEEP = 8
MOST = 64
PREFIX = "spare-"
REST_S = 0.25
"""How long nothing was taken before more are made. A launch must not wait for the disk, and making one beside it cost
it a tenth (measured)."""
_ATTEMPT = re.compile(r"[a-z2-7]{16}-[0-9]{1,6}\Z")
_FILES = frozenset({layout.LOCK, layout.RECORD, layout.LOG, layout.TOKEN})


class Held:
    """A spare that an attempt will have, if it comes to be; its lock is ours until that is known.

    Attributes:
        folder: its path now.
    """

    def __init__(self, root: Path, name: str, lock: int, give_back: Callable[[str], None]) -> None:
        self.folder = f"{root}/{name}"
        self._root, self._name, self._lock = root, name, lock
        self._give_back = give_back
        self._is_taken = False

    def take(self, name: str) -> bool:
        """Give it the attempt's name, before it is released; False where there is such a folder, or it cannot be."""
        folder = f"{self._root}/{name}"
        if os.path.exists(folder):
            return False
        try:
            os.rename(self.folder, folder)
        except OSError:
            return False
        self._is_taken = True
        return True

    def release(self) -> None:
        """Let who waits for its lock go on: as the attempt where it was taken, else for nothing. Once."""
        os.close(self._lock)
        if not self._is_taken:
            self._give_back(self._name)


class Spares:
    """The spare folders of one broker.

    They are made when nothing is started, or many at once when few are left: then twice as many are kept, up to
    `MOST`.

    Args:
        root: the folder of attempt folders.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready: deque[str] = deque()
        self._given_back: deque[str] = deque()
        """At which a shim may look still, for an attempt that did not come to be: for who waits for their lock."""
        self._keep = KEEP
        self._making: asyncio.Future[list[str]] | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._taken_at = 0.0
        self._is_closed = False

    def reclaim(self) -> None:
        """Sort out what an earlier run left; before any attempt is recovered. Blocks."""
        for path in self._root.glob(f"{PREFIX}*"):
            slots = _slots(path)
            if slots and any(slots) and self._renamed(path, slots[record.INTENT]):
                continue
            if slots is None or any(slots) or len(self._ready) == KEEP or not _is_blank(path / layout.LOG):
                take_away(path, ignore_errors=True)
            else:
                self._ready.append(path.name)

    def _renamed(self, path: Path, intent: dict[str, object] | None) -> bool:
        name = str((intent or {}).get("name", ""))
        if not _ATTEMPT.match(name) or (self._root / name).exists():
            return False
        path.rename(self._root / name)
        layout.sync_folder(str(self._root))
        return True

    def take(self, name: str) -> bool:
        """Give a spare this attempt's name; False where there is none to be had, or the attempt has a folder."""
        held = self._held(self._ready)  # its shim does not wait for the lock
        if held is None:
            return False
        is_taken = held.take(name)
        held.release()
        return is_taken

    def hold(self) -> Held | None:
        """Keep a spare for an attempt that is not decided on yet; None where there is none to be had."""
        return self._held(self._given_back or self._ready)

    def _held(self, spares: deque[str]) -> Held | None:
        self._note_use()
        if not spares:
            return None
        spare = spares.popleft()
        try:
            lock = layout.take_lock(f"{self._root}/{spare}")
        except OSError:
            return None
        if lock is None:
            self._given_back.append(spare)
            return None
        if not _is_as_made(f"{self._root}/{spare}"):
            os.close(lock)
            return None
        return Held(self._root, spare, lock, self._given_back.append)

    def _note_use(self) -> None:
        loop = asyncio.get_running_loop()
        self._taken_at = loop.time()
        if len(self._ready) <= self._keep // 4 and self._making is None:
            self._keep = min(MOST, self._keep * 2)
            self.top_up()
        elif self._rest is None and not self._is_closed:
            self._rest = loop.call_later(REST_S, self._rested)

    def _rested(self) -> None:
        loop = asyncio.get_running_loop()
        self._rest = None
        left = self._taken_at + REST_S - loop.time()
        if left > 0:
            self._rest = loop.call_later(left, self._rested)
        else:
            self.top_up()

    def close(self) -> None:
        """Make no more."""
        self._is_closed = True
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def top_up(self) -> None:
        """Begin to make the spares there should be."""
        missing = self._keep - len(self._ready)
        if self._making is None and missing > 0 and not self._is_closed:
            self._making = asyncio.get_running_loop().run_in_executor(None, _make, self._root, missing)
            self._making.add_done_callback(self._made)

    def _made(self, making: asyncio.Future[list[str]]) -> None:
        self._making = None
        if making.cancelled() or making.exception() is not None:
            return
        self._ready += making.result()


def _make(root: Path, count: int) -> list[str]:
    names = [PREFIX + os.urandom(6).hex() for _ in range(count)]
    folders = [f"{root}/{name}" for name in names]
    layout.furnish(*folders)
    for folder in folders:
        token.make_room(folder)
    return names


def _is_as_made(folder: str) -> bool:
    """Whether tasks have left a spare what it was: a shim would wait at a pipe, and fail at what is there already."""
    try:
        kept, log = (os.lstat(f"{folder}/{name}") for name in (layout.RECORD, layout.LOG))
        is_blank = stat.S_ISREG(kept.st_mode) and stat.S_ISREG(log.st_mode) and not log.st_size
        return is_blank and set(os.listdir(folder)) <= _FILES
    except OSError:
        return False


def _is_blank(log: Path) -> bool:
    with contextlib.suppress(OSError):
        return log.stat(follow_symlinks=False).st_size == 0
    return False


def _slots(path: Path) -> list[dict[str, object] | None] | None:
    with contextlib.suppress(OSError, ValueError):
        fd = layout.open_record(str(path))
        try:
            return record.read_slots(fd)
        finally:
            os.close(fd)
    return None

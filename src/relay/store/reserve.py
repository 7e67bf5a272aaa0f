"""16 MiB held back, so that results can land on a full disk: given up when the store meets one, taken again later."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

RESERVE_BYTES = 16 * 1024 * 1024
# taken again only where that leaves as much free as is taken
ROOM_BYTES = 2 * RESERVE_BYTES
_log = logging.getLogger(__name__)


class Reserve:
    """One file that takes up room.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self) -> bool:
        """Take the room up, if it is not and the disk has enough; whether it is held now. Blocks."""
        with contextlib.suppress(OSError):
            if self._path.exists() and self._path.stat().st_size >= RESERVE_BYTES:
                return True
            if shutil.disk_usage(self._path.parent).free >= ROOM_BYTES:
                self._take()
                return True
        _log.warning("the disk is too full to hold 16 MiB back for results")
        return False

    def _take(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            else:  # macOS: a file of zeros is allocated all the same
                os.write(descriptor, bytes(RESERVE_BYTES))
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the room up: the disk is full, and something has to be written that must not be lost."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
            _log.error("the disk is full: the 16 MiB held back for results are given up")

"""The exit record that a shim wrote last, which need not wait for the disk where the broker has written down the same.

It is read by the broker as soon as it is written, and what the broker tells of it is in its journal first, on the disk.
The token of the attempt is blanked then (`spawn/token.py`), and the record is needed by nobody after a power cut. Where
that has not come, because the broker is slow or gone, the record is brought to the disk within `WAIT_MS`.
"""

from __future__ import annotations

import os

from . import record
from .folder import TOKEN

WAIT_MS = 50


class LastWord:
    """What a shim still owes to the attempt that it ended last."""

    __slots__ = ("_folder", "_record")

    def __init__(self) -> None:
        self._folder = ""
        self._record = -1

    def is_of(self, folder: str, record_fd: int) -> None:
        """Take over the record of an attempt that has ended."""
        self._folder, self._record = folder, record_fd

    def settle(self) -> None:
        """Bring it to the disk, unless the broker has it there; once."""
        if self._record < 0:
            return
        if not self._is_written_down():
            record.sync(self._record)
        os.close(self._record)
        self._record = -1

    def _is_written_down(self) -> bool:
        try:
            token = os.open(f"{self._folder}/{TOKEN}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            return os.read(token, 1) in (b" ", b"")  # empty where a broker of another version wrote it
        except OSError:
            return False
        finally:
            os.close(token)

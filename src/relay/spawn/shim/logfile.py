"""The shim's end of the log: append frames, never stop the task for want of room."""

from __future__ import annotations

import errno
import os
import time

from . import frames
from .record import sync


class LogFile:
    """Writes output to the log up to `limit` bytes; what cannot be written is counted, not waited for."""

    def __init__(self, fd: int, limit: int) -> None:
        self.end = 0
        self.dropped = 0
        self.lost = 0
        self.error: str | None = None
        self._fd = fd
        self._limit = limit

    def write(self, stream: int, data: bytes) -> None:
        """Append `data`; past the limit count it as dropped, on a failing disk as lost."""
        if self.end + len(data) > self._limit:
            self.dropped += len(data)
            return
        try:
            self._append(frames.pack(self.end, stream, time.time_ns() // 1_000_000, data))
        except OSError as fault:
            self._note(fault, len(data))

    def flush(self) -> None:
        """Bring the log to the disk, so that an exit record never stands over a log that a power cut took."""
        if not self.end:
            return
        try:
            sync(self._fd)
        except OSError as fault:
            self._note(fault, 0)

    def _append(self, pieces: list[bytes]) -> None:
        whole = b"".join(pieces)
        if os.pwrite(self._fd, whole, self.end) != len(whole):
            # A short write means a full disk: half a frame is worth nothing to a reader.
            raise OSError(errno.ENOSPC, "short write")
        self.end += len(whole)

    def _note(self, fault: OSError, count: int) -> None:
        self.lost += count
        self.error = errno.errorcode.get(fault.errno or 0, "EIO")
        try:
            os.ftruncate(self._fd, self.end)
        except OSError:
            return

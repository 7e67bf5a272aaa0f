"""The shim's end of the log: append frames, never stop the task for want of room, keep what is newest.

How the files of a log stand beside each other is in `segments.py`.
"""

from __future__ import annotations

import errno
import os
import time

from . import frames
from .folder import sync_folder
from .record import sync
from .segments import Layout, name

_OVERHEAD = 2 * frames.HEAD.size
"""What header and padding add to a piece, for each block that it touches."""


class LogFile:
    """Writes output to the log within `limit` bytes; what goes, and what cannot be written, is counted.

    Attributes:
        end: the offset behind the last byte that was written, kept or not.
        dropped: bytes of output that are no longer kept.
        lost: bytes of output that could not be written, for the reason in `error`.
        written: bytes of output that were, kept or not.
    """

    # A dictionary of so many would grow into fresh pages (see `supervise.py`).
    __slots__ = (
        *("_closed", "_fd", "_inside", "_layout", "_path", "_start", "_stop"),
        *("dropped", "end", "error", "lost", "written"),
    )

    def __init__(self, path: str, limit: int) -> None:
        self.end = 0
        self.dropped = 0
        self.lost = 0
        self.written = 0
        self.error: str | None = None
        self._path = path
        self._layout = Layout(limit)
        self._fd = os.open(path, os.O_WRONLY)
        self._start = 0
        self._stop = self._layout.head
        self._inside = 0
        """Bytes of output in the file that grows."""
        self._closed: list[tuple[int, int]] = []
        """Of each segment that is full: where it begins, and how many bytes of output it has."""

    def write(self, stream: int, data: bytes) -> None:
        """Append `data`; on a failing disk count it as lost."""
        at_ms = time.time_ns() // 1_000_000
        count = len(data)
        if self.end + count + (count // frames.BLOCK + 2) * _OVERHEAD > self._stop:
            self._write_across(stream, at_ms, memoryview(data))
            return
        try:
            self._append(stream, at_ms, data)
        except OSError as fault:
            self._note(fault, count)

    def fields(self) -> dict[str, object]:
        """What the exit slot says of the log."""
        return {
            "log_bytes": self.end,
            "log_dropped": self.dropped,
            "log_lost": self.lost,
            "log_written": self.written,
            "log_error": self.error,
        }

    def close(self) -> None:
        """Nothing more is written."""
        os.close(self._fd)

    def flush(self) -> None:
        """Bring the log to the disk, so that an exit record never stands over a log that a power cut took."""
        if not self.end:
            return
        try:
            sync(self._fd)
            if self._start:
                self._flush_others()
        except OSError as fault:
            self._note(fault, 0)

    def _flush_others(self) -> None:
        # Not while the task runs: it would wait for the disk, and most of these are gone before its end.
        for start in (0, *(start for start, _ in self._closed)):
            fd = os.open(name(self._path, start), os.O_WRONLY)
            try:
                sync(fd)
            finally:
                os.close(fd)
        sync_folder(os.path.dirname(self._path))

    def _write_across(self, stream: int, at_ms: int, view: memoryview) -> None:
        """Write frame by frame, going on to the next file where one is full."""
        try:
            while view:
                if self.end + frames.padding(self.end) >= self._stop:
                    self._turn()
                part = bytes(view[: frames.room(self.end)])
                self._append(stream, at_ms, part)
                view = view[len(part) :]
        except OSError as fault:
            self._note(fault, len(view))

    def _append(self, stream: int, at_ms: int, data: bytes) -> None:
        whole = b"".join(frames.pack(self.end, stream, at_ms, data))
        put = 0
        while put < len(whole):
            # A short write has met a full disk, a quota or a limit of files' sizes: the rest is told which.
            put += os.pwrite(self._fd, whole[put:] if put else whole, self.end - self._start + put)
        self.end += len(whole)
        self._inside += len(data)
        self.written += len(data)

    def _turn(self) -> None:
        """Begin the next segment. The oldest goes first: on a full disk its room is needed."""
        if len(self._closed) >= self._layout.most - 1:
            self._drop_oldest()
        # Padded first: a reader looks for the next file where one ends with a block.
        os.pwrite(self._fd, bytes(self._stop - self.end), self.end - self._start)
        fresh = os.open(name(self._path, self._stop), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.close(self._fd)
        if self._start:
            self._closed.append((self._start, self._inside))
        self._fd, self._inside = fresh, 0
        self.end = self._start = self._stop
        self._stop = self._layout.end_of(self._start)

    def _drop_oldest(self) -> None:
        if not self._closed:
            return
        start, count = self._closed[0]
        os.unlink(name(self._path, start))
        del self._closed[0]
        self.dropped += count

    def _note(self, fault: OSError, count: int) -> None:
        self.lost += count
        self.error = errno.errorcode.get(fault.errno or 0, "EIO")
        try:
            os.ftruncate(self._fd, self.end - self._start)
        except OSError:
            return

"""An attempt's record, opened before its task can run: what that does to the folder hides nothing of its end."""

from __future__ import annotations

import os

from relay.spawn.shim import folder as layout


class OpenedRecord:
    """The record's descriptor until somebody takes it, who closes it then.

    Args:
        folder: the attempt's, or the one that will be.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, folder: str) -> None:
        self._fd: int | None = layout.open_record(folder)
        self._written = os.fstat(self._fd).st_mtime_ns

    def take(self) -> int | None:
        """The descriptor, once; None from then on."""
        fd, self._fd = self._fd, None
        return fd

    def was_written(self, fd: int) -> bool:
        """Whether anything was written into it since it was opened, left there or not; `fd` is what was taken.

        By the time of its last write and not of its last change: who gives it another mode, links or deletes it, or
        keeps a backup of it, writes nothing, and what has not begun is to begin again.
        """
        return os.fstat(fd).st_mtime_ns != self._written

    def close(self) -> None:
        """Close it, unless it was taken."""
        fd = self.take()
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        self.close()  # where work on the attempt failed before anybody took it

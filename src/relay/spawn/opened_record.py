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

    def take(self) -> int | None:
        """The descriptor, once; None from then on."""
        fd, self._fd = self._fd, None
        return fd

    def close(self) -> None:
        """Close it, unless it was taken."""
        fd = self.take()
        if fd is not None:
            os.close(fd)

    def __del__(self) -> None:
        self.close()  # where work on the attempt failed before anybody took it

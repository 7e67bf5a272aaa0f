"""Signals as bytes on a pipe, so that one `poll` waits for them and for output alike."""

from __future__ import annotations

import os
import signal


class Wakeup:
    """A pipe on which each caught signal leaves its number."""

    def __init__(self, *numbers: int) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _nothing)

    def take(self) -> bytes:
        """The numbers of the signals caught since the last call."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Give the pipe up; called by a forked child that makes its own."""
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write)


def _nothing(_number: int, _frame: object) -> None:
    """A handler must exist for the number to be written."""

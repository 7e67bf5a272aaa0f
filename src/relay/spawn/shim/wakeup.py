"""Signals as bytes on a pipe, so that one `poll` waits for them and for output alike."""

from __future__ import annotations

import os
import signal


def catch(numbers: tuple[int, ...]) -> None:
    """Catch these signals, to no effect but a byte in the wakeup pipe; forked children catch them too.

    Caught, not ignored: exec gives what is caught its default again, and what is ignored stays ignored.
    """
    for number in numbers:
        signal.signal(number, _nothing)


class Wakeup:
    """A pipe on which each caught signal leaves its number; the last one made has them."""

    __slots__ = ("_write", "fd")

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def take(self) -> bytes:
        """The numbers of the signals caught since the last call."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Give the pipe up, after another was made: a signal that finds it closed would complain on stderr."""
        os.close(self.fd)
        os.close(self._write)


def _nothing(_number: int, _frame: object) -> None:
    """A handler must exist for the number to be written."""

"""A task's terminal: a pseudo-terminal of its own, whose master the shim holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios

_SIZE = struct.Struct("HHHH")


def open_pair(rows: int, columns: int) -> tuple[int, int]:
    """A new terminal of that size: master and slave."""
    master, slave = os.openpty()
    resize(master, rows, columns)
    return master, slave


def resize(master: int, rows: int, columns: int) -> None:
    """Set the size; the kernel tells the foreground of the terminal (SIGWINCH) where it changed."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, _SIZE.pack(rows, columns, 0, 0))


def control(slave: int) -> None:
    """Make it the controlling terminal of this process, which leads a session without one."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def end_of_input(master: int) -> bytes:
    """What a person would type for the end of input."""
    with contextlib.suppress(OSError):
        typed = termios.tcgetattr(master)[6][termios.VEOF]
        return bytes(typed) if isinstance(typed, bytes) else b"\x04"
    return b"\x04"

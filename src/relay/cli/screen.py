"""This terminal while something else has it: raw, its size known, and as it was before when that is over."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import tty

from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

ALTERNATE_ON, ALTERNATE_OFF = b"\x1b[?1049h", b"\x1b[?1049l"
# cursor keys, keypad, mouse, paste marks, colours, and the cursor: whatever the task had changed
AS_BEFORE = b"\x1b[?1l\x1b>\x1b[?1000;1002;1003;1006l\x1b[?2004l\x1b[0m\x1b[?25h"
LOCAL_MODES = 3  # in what tcgetattr gives
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Ended(SystemExit):
    """A signal asked this program to end."""


class Screen:
    """The terminal on stdin, where there is one."""

    def __init__(self) -> None:
        self.is_terminal = os.isatty(0)
        self._alternate = False
        self._before: list[Any] | None = None

    def size(self) -> tuple[int, int] | None:
        """Rows and columns, None where there is no terminal."""
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                size = os.get_terminal_size(fd)
                return size.lines, size.columns
        return None

    def make_raw(self) -> None:
        """Pass on every key from now on."""
        if self.is_terminal and self._before is None:
            self._before = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)

    def take_keys(self) -> None:
        """Take keys one by one from now on, Ctrl-C among them; what is written is shown as ever."""
        if self.is_terminal and self._before is None:
            self._before = termios.tcgetattr(0)
            now = termios.tcgetattr(0)
            now[LOCAL_MODES] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
            termios.tcsetattr(0, termios.TCSANOW, now)

    @property
    def is_raw(self) -> bool:
        """Whether keys are passed on as they are."""
        return self._before is not None

    def typed(self, most: int) -> bytes:
        """At most so many bytes of what was typed, nothing at its end.

        Raises:
            Ended: the window was closed, or the line to it was cut: nobody has ended what is typed.
        """
        if not self.is_terminal:
            return os.read(0, most)
        data = b""
        with contextlib.suppress(OSError):  # what reads from a window that is closed
            data = os.read(0, most)
        if not data and (self.is_raw or _is_closed(0)):
            raise Ended(128 + signal.SIGHUP)
        return data

    def forget_typed(self) -> None:
        """Drop what was typed and not read yet."""
        if self.is_terminal:
            with contextlib.suppress(termios.error):
                termios.tcflush(0, termios.TCIFLUSH)

    def show(self, data: bytes) -> None:
        """Write a task's output."""
        on, off = data.rfind(ALTERNATE_ON), data.rfind(ALTERNATE_OFF)
        if on != off:
            self._alternate = on > off
        speech.put_at_once(data)

    def restore(self) -> None:
        """Make it as it was."""
        if self._before is None:
            return
        before, self._before = self._before, None
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        if os.isatty(1):
            with contextlib.suppress(OSError):
                os.write(1, (ALTERNATE_OFF if self._alternate else b"") + AS_BEFORE)


@contextlib.contextmanager
def kept(screen: Screen) -> Iterator[int]:
    """Whatever ends the block, the terminal is as it was; yields a descriptor that is readable after a signal."""
    read, write = os.pipe()
    for fd in (read, write):
        os.set_blocking(fd, False)
    old = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _end) for number in ENDS}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _nothing)
    try:
        yield read
    finally:
        screen.restore()
        signal.set_wakeup_fd(old)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _is_closed(fd: int) -> bool:
    asked = select.poll()
    asked.register(fd, 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in asked.poll(0))


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(128 + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor says it."""

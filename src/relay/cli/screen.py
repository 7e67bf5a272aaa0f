"""This terminal while something else has it: raw, its size known, and as it was before when that is over."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import termios
import time
import tty

from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

ALTERNATES = (b"1049", b"1047", b"47")
# cursor keys, keypad, mouse, focus, paste marks, line ends, inserting, letters, colours, and the cursor; then the lines
# that scroll, which would move it
AS_BEFORE = (
    b"\x1b[?1l\x1b>\x1b[?9;1000;1002;1003;1005;1006;1015;1016l\x1b[?1004l\x1b[?2004l\x1b[?7h\x1b[4l"
    b"\x1b(B\x0f\x1b[0m\x1b[?25h\x1b7\x1b[r\x1b8"
)
# what says how keys are told, of kitty and of xterm: each screen has its own, and many terminals have none
KEYS_AS_BEFORE = b"\x1b[<16u\x1b[>4m"
MODE = re.compile(rb"\x1b\[(?:\?([0-9]{1,4}(?:;[0-9]{1,4})*)([hl])|[>=][0-9;]*u|>4[0-9;]*m)")
LONGEST_MODE = 32
APART_S = 0.1
"""For how long another size is told: of two at once a program learns one change, and finds its size as it was."""
LOCAL_MODES = 3  # in what tcgetattr gives
# all that end a program, SIGKILL and faults of its own apart
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class Ended(SystemExit):
    """A signal asked this program to end."""


class Screen:
    """The terminal on stdin, where there is one."""

    def __init__(self) -> None:
        self.is_terminal = os.isatty(0)
        self._modes: dict[bytes, bytes] = {}  # of the terminal, as what was shown has set them
        self._tells_keys = False
        self._cut = b""  # the beginning of what may set one
        self._was_left = False  # for others, who left what they wrote
        self._before: list[Any] | None = None
        self._taken: list[Any] = []

    def size(self) -> tuple[int, int] | None:
        """Rows and columns, None where there is no terminal."""
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                size = os.get_terminal_size(fd)
                return size.lines, size.columns
        return None

    def tell_size(self, tell: Callable[[int, int], None], anew: bool = False) -> None:
        """Tell a task the size; another one first, for a moment, where it has to draw its screen anew.

        A program that has the whole screen draws all of it where the size changes, and at no other word of ours.

        Args:
            tell: given rows and columns.
            anew: something else was written to this terminal meanwhile.
        """
        size, anew = self.size(), anew or self._was_left
        self._was_left = False
        if size is None:
            return
        try:
            if anew and any(self._modes.get(each) == b"h" for each in ALTERNATES):
                tell(max(size[0] - 1, 1), size[1])
                time.sleep(APART_S)
        finally:  # also where a signal ends this meanwhile: no other size is left behind
            tell(*size)

    def make_raw(self) -> None:
        """Pass on every key from now on."""
        if self.is_terminal and self._before is None:
            self._before = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)
            self._taken = termios.tcgetattr(0)

    def take_keys(self) -> None:
        """Take keys one by one from now on, Ctrl-C among them; what is written is shown as ever."""
        if self.is_terminal and self._before is None:
            self._before = termios.tcgetattr(0)
            now = termios.tcgetattr(0)
            now[LOCAL_MODES] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
            termios.tcsetattr(0, termios.TCSANOW, now)
            self._taken = now

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
        self.learn(data)
        speech.put_at_once(data)

    def learn(self, data: bytes) -> None:
        """Note what an output changes of the terminal; a sequence may come in two pieces."""
        data, end = self._cut + data, 0
        for found in MODE.finditer(data):
            end = found.end()
            numbers, which = found.groups()
            self._modes |= dict.fromkeys(numbers.split(b";"), which) if numbers else {}
            self._tells_keys |= not numbers
        rest = data[max(data.rfind(b"\x1b"), end) :] if b"\x1b" in data[end:] else b""
        self._cut = rest if len(rest) < LONGEST_MODE else b""

    @property
    def undoing(self) -> bytes:
        """What makes it as it was before it was written to."""
        keys = KEYS_AS_BEFORE if self._tells_keys else b""
        left = b"".join(b"\x1b[?%bl" % each for each in ALTERNATES if self._modes.get(each) == b"h")
        return keys + left + (keys if left else b"") + AS_BEFORE

    def restore(self) -> None:
        """Make it as it was."""
        if self._before is not None:
            self._give_back(self._before)
            self._before = None

    def stop(self, whose: int = 0) -> None:
        """Stand still, as for Ctrl-Z: the terminal is as it was, until this program is to go on.

        Args:
            whose: a process; 0 for all of this one's group, as by the key: a script that runs it would wait for it.
        """
        if self._before is not None:
            self._give_back(self._before)
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(whose, signal.SIGTSTP)  # of nothing where nobody could tell it to go on
        signal.signal(signal.SIGTSTP, handler)
        self.go_on()

    def go_on(self) -> None:
        """Take it over once more: whoever had it meanwhile has made it as a shell needs it."""
        if self._before is None:
            return
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSANOW, self._taken)
        self._write(b"".join(b"\x1b[?%b%b" % mode for mode in self._modes.items()))
        self._was_left = True

    def _give_back(self, before: list[Any]) -> None:
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        self._write(self.undoing)

    def _write(self, data: bytes) -> None:
        if os.isatty(1):
            with contextlib.suppress(OSError):
                os.write(1, data)


@contextlib.contextmanager
def kept(screen: Screen) -> Iterator[int]:
    """Whatever ends the block, the terminal is as it was; yields a descriptor that is readable after a signal."""
    read, write = os.pipe()
    for fd in (read, write):
        os.set_blocking(fd, False)
    old = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _end) for number in ENDS}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _nothing)
    handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, lambda *_: screen.stop(os.getpid()))
    handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, lambda *_: screen.go_on())
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

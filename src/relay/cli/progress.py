"""Progress on stderr: a bar for what moves, a word for what takes longer than a second.

Both are drawn over themselves on a terminal; where nobody watches, the bar is a line now and then, the word one line.
"""

from __future__ import annotations

import _thread  # `threading` costs a command 2 ms
import os
import sys
import time

from relay.api import sizes
from relay.api.durations import spoken
from relay.cli import speech
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from relay.api.blob_shapes import BlobLine

WIDTH = 24
LINE_EVERY_S = 5.0


AFTER_S, EVERY_S = 1.0, 0.1
FRAMES = "|/-\\"


class Shown:
    """Shows a text once the block has lasted a second, and leaves nothing of it on a terminal.

    Within the block only notes may be written to the terminal.

    Args:
        text: what is waited for.
        quiet: no line where stderr is no terminal.

    Attributes:
        text: may become another.
    """

    def __init__(self, text: str, quiet: bool = False) -> None:
        self.text = text
        self._quiet = quiet
        self._over = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()

    def __enter__(self) -> Self:
        self._over.acquire()
        self._ended.acquire()
        _thread.start_new_thread(self._run, ())
        return self

    def __exit__(self, *_: object) -> None:
        self._over.release()
        self._ended.acquire()

    def _run(self) -> None:
        try:
            if not self._over.acquire(timeout=AFTER_S):
                self._show()
        except (OSError, ValueError):
            pass  # stderr was closed: nobody is there to be shown anything
        finally:
            self._ended.release()

    def _show(self) -> None:
        if speech.is_drawable(sys.stderr):
            self._spin()
        elif not self._quiet:
            speech.note(f"{clean(self.text)} ...")

    def _spin(self) -> None:
        began = time.monotonic() - AFTER_S
        width = max(_width() - 12, 8)
        for turn in range(sys.maxsize):
            seconds = int(time.monotonic() - began)
            frame = FRAMES[turn % len(FRAMES)]
            speech.draw(f"{frame} {clean(self.text)[:width]} ({seconds} s)")
            if self._over.acquire(timeout=EVERY_S):
                break
        speech.draw("")


def _width() -> int:
    try:
        return os.get_terminal_size(2).columns or 80
    except OSError:
        return 80


class Bar:
    """One bar.

    Args:
        title: what moves.
    """

    def __init__(self, title: str) -> None:
        self._title = clean(title)
        self._drawn = 0
        self._said = ("", 0.0)
        self._live = speech.is_terminal(sys.stderr)

    def show(self, line: BlobLine) -> None:
        """Draw how far it is."""
        text = f"{self._title}  {render(line)}"
        if self._live:
            padding = " " * max(0, self._drawn - len(text))
            sys.stderr.write(f"\r{text}{padding}")
            sys.stderr.flush()
            self._drawn = len(text)
        elif self._is_due(line):
            self._said = line["state"], time.monotonic()
            speech.note(text)

    def _is_due(self, line: BlobLine) -> bool:
        state, at = self._said
        return line["state"] != state or time.monotonic() - at >= LINE_EVERY_S

    def end(self) -> None:
        """Leave the bar as it stands, and go to the next line."""
        if self._drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._drawn = 0


def render(line: BlobLine) -> str:
    """How far it is, in a line: bar, per cent, rate, time left, and why nothing moves."""
    done, size = line["done"], line["size"]
    part = done / size if size else 1.0
    bar = "#" * int(part * WIDTH)
    left = line["left_s"]
    told = [
        f"[{bar:<{WIDTH}}] {int(part * 100):3d} %",
        f"{sizes.spoken(done)} of {sizes.spoken(size)}",
        f"{sizes.spoken(line['rate'])}/s" if line["rate"] else "",
        f"{spoken(left)} left" if left and line["rate"] else "",
        line["state"],
        clean(line["reason"]),
    ]
    return "  ".join(part for part in told if part)

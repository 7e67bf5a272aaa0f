"""A progress bar on stderr: drawn over itself on a terminal, now and then a line where nobody watches."""

from __future__ import annotations

import sys
import time

from relay.api import sizes
from relay.api.durations import spoken
from relay.cli import speech
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.blob_shapes import BlobLine

WIDTH = 24
LINE_EVERY_S = 5.0


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

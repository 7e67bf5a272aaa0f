"""Looking at the directory that a request names, for a moment only: what it lies on may not answer.

A judgement stands in a transaction, and all that is durable waits behind that: the end of every other spawn as well. A
dead network mount, or one that the look itself asks for, would hold it up for as long as it pleases.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from itertools import accumulate
from queue import Empty, SimpleQueue
from threading import Thread

from relay.core.errors import Code, Refused
from relay.core.values import frozen

PATIENCE_S, SHORT_S = 2.0, 0.5
"""How long one look may take; and how long beside one that has no answer, for it may lie on the same. A machine that is
busy keeps a thread from the processor for half of that, and what is well must not be refused."""
FRESH_S = 0.05
"""For how long a directory that was seen is taken to be there: those that come at once often name the same, and each
shim finds out for itself."""
MOST = 16
"""Looks without an answer, each of which keeps a thread, at most."""


@frozen
class Seen:
    """What a directory that was asked for is.

    Attributes:
        path: its real path; None where it is not absolute.
        is_directory, is_there: of that path.
    """

    path: str | None = None
    is_directory: bool = False
    is_there: bool = False


def _named(wanted: str) -> str:
    return os.path.expanduser(wanted) if wanted == "~" or wanted.startswith("~/") else wanted


def unseen(wanted: str) -> Seen:
    """A directory that was asked for, by its words alone."""
    path = _named(wanted)
    return Seen(os.path.normpath(path) if os.path.isabs(path) else None)


def look(wanted: str) -> Seen:
    """Look at a directory that was asked for, for as long as it takes."""
    path = _named(wanted)
    if not os.path.isabs(path):
        return Seen()
    real = os.path.realpath(path)
    is_directory = os.path.isdir(real)
    return Seen(real, is_directory, is_directory or os.path.exists(real))


class _Look:
    """One look, for a thread to take.

    Attributes:
        at: what it waits for, as far as that is known: nothing below it can be looked at.
        walks: whether that is to be found out: of many names below one dead mount each would keep a thread.
    """

    def __init__(self, wanted: str, *, walks: bool) -> None:
        self.wanted, self.walks = wanted, walks
        self.at = _named(wanted)
        self.answer: SimpleQueue[Seen | Exception] = SimpleQueue()

    def take(self) -> None:
        """Look, and tell."""
        try:
            if self.walks:
                self._walk()
            self.answer.put(look(self.wanted))
        except Exception as fault:  # as a path that no system takes: it is the asker's
            self.answer.put(fault)

    def _walk(self) -> None:
        whole = self.at
        for each in accumulate(whole.split("/"), lambda above, name: f"{above}/{name}"):
            self.at = each or "/"
            with contextlib.suppress(OSError):
                os.stat(self.at)
        self.at = whole

    def keeps(self, path: str) -> bool:
        """Whether that path has no answer before this has."""
        return path == self.at or path.startswith(f"{self.at}/")

    def is_beside(self, path: str) -> bool:
        """Whether that path may well lie on the same."""
        return path.startswith(f"{os.path.dirname(self.at)}/")


class Looks:
    """Looks on a thread of its own, which is left to itself where it gets no answer. For one caller at a time.

    Args:
        machine: this machine's name, for people.
    """

    def __init__(self, machine: Callable[[], str]) -> None:
        self._machine = machine
        self._line: SimpleQueue[_Look | None] | None = None
        self._unanswered: list[_Look] = []
        self._last: tuple[str, float, Seen] | None = None

    def at(self, wanted: str) -> Seen:
        """What is there.

        Raises:
            Refused: it does not tell.
        """
        if self._last is not None and self._last[0] == wanted and time.monotonic() - self._last[1] < FRESH_S:
            return self._last[2]
        path = _named(wanted)
        self._unanswered = [each for each in self._unanswered if each.answer.empty()]
        if any(each.keeps(path) for each in self._unanswered):
            raise self._silence(wanted)
        if len(self._unanswered) >= MOST:
            raise self._crowd(wanted)
        if (line := self._served()) is None:
            return look(wanted)
        mine = _Look(wanted, walks=bool(self._unanswered))
        line.put(mine)
        try:
            is_beside = any(each.is_beside(path) for each in self._unanswered)
            seen = mine.answer.get(timeout=SHORT_S if is_beside else PATIENCE_S)
        except Empty:
            self._unanswered.append(mine)
            line.put(None)
            self._line = None
            raise self._silence(wanted) from None
        if isinstance(seen, Exception):
            raise seen
        if seen.is_directory:
            self._last = wanted, time.monotonic(), seen
        return seen

    def _served(self) -> SimpleQueue[_Look | None] | None:
        """The line of a thread; None where the system has none to give."""
        if self._line is None:
            line: SimpleQueue[_Look | None] = SimpleQueue()
            try:
                Thread(target=_serve, args=(line,), name="looks", daemon=True).start()
            except RuntimeError:
                return None
            self._line = line
        return self._line

    def _silence(self, wanted: str) -> Refused:
        return Refused(
            f"{wanted} on {self._machine()} does not answer",
            code=Code.NO_DIRECTORY,
            why="what it lies on, such as a network mount, says nothing",
            hint=f"on {self._machine()}: ls {wanted}; once that answers: spawn it again",
        )

    def _crowd(self, wanted: str) -> Refused:
        return Refused(
            f"{wanted} on {self._machine()} was not looked at",
            code=Code.NO_DIRECTORY,
            why=f"{MOST} others there do not answer",  # which, is for who named them
            hint=f"on {self._machine()}: mend or unmount what those lie on; then spawn it again",
        )


def _serve(line: SimpleQueue[_Look | None]) -> None:
    while (asked := line.get()) is not None:
        asked.take()

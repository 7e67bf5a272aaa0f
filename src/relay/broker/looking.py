"""Looking at the directory that a request names, for a moment only: what it lies on may not answer.

A judgement stands in a transaction, and all that is durable waits behind that: the end of every other spawn as well. A
dead network mount, or one that the look itself asks for, would hold it up for as long as it pleases.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from relay.core.errors import Code, Refused
from relay.core.values import frozen

PATIENCE_S, SHORT_S = 2.0, 0.1
"""How long one look may take; and how long while another one has no answer, for it may lie on the same."""
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


class Looks:
    """Looks on a thread of its own, which is left to itself where it gets no answer. For one caller at a time.

    Args:
        machine: this machine's name, for people.
    """

    def __init__(self, machine: Callable[[], str]) -> None:
        self._machine = machine
        self._line: _Line | None = None
        self._unanswered: dict[str, SimpleQueue[Seen | Exception]] = {}

    def at(self, wanted: str) -> Seen:
        """What is there.

        Raises:
            Refused: it does not tell.
        """
        self._unanswered = {each: answer for each, answer in self._unanswered.items() if answer.empty()}
        if wanted in self._unanswered or len(self._unanswered) >= MOST:
            raise self._silence(wanted)
        if self._line is None:
            self._line = SimpleQueue()
            Thread(target=_serve, args=(self._line,), name="looks", daemon=True).start()
        answer = SimpleQueue[Seen | Exception]()
        self._line.put((wanted, answer))
        try:
            seen = answer.get(timeout=SHORT_S if self._unanswered else PATIENCE_S)
        except Empty:
            self._unanswered[wanted] = answer
            self._line.put(None)
            self._line = None
            raise self._silence(wanted) from None
        if isinstance(seen, Exception):
            raise seen
        return seen

    def _silence(self, wanted: str) -> Refused:
        return Refused(
            f"{wanted} on {self._machine()} does not answer",
            code=Code.NO_DIRECTORY,
            why="what it lies on, such as a network mount, says nothing",
            hint=f"on {self._machine()}: ls {wanted}; once that answers: spawn it again",
        )


_Line = SimpleQueue[tuple[str, SimpleQueue[Seen | Exception]] | None]


def _serve(line: _Line) -> None:
    while (asked := line.get()) is not None:
        wanted, answer = asked
        try:
            answer.put(look(wanted))
        except Exception as fault:  # as a path that no system takes: it is the asker's
            answer.put(fault)

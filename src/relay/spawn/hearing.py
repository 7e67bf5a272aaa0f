"""An attempt's signs of life, turned into words: running, grown, said."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Protocol, Self

from relay.core.states import State
from relay.spawn.asking import Watch
from relay.spawn.attempt import Output, Started
from relay.spawn.reading import LogReading
from relay.store.spawn_rows import SpawnRow

GRACE_S = 0.3
SAY_EVERY_S = 1.0
BREATH_S = 0.05


class Listener(Protocol):
    """Who is told; the supervisor."""

    def started(self, row: SpawnRow) -> None:
        """The task's process is past its exec."""

    def seen_running(self, row: SpawnRow, started: Started) -> None:
        """The task is past its exec and has spoken or lived through its grace."""

    def grew(self, row: SpawnRow) -> None:
        """There is new output."""

    def said(self, row: SpawnRow, words: list[str]) -> None:
        """The agent told of its progress."""


class Hearing:
    """Turns an attempt's signs of life into the supervisor's words, for a block.

    The block lasts until the end is written down: what a task left may take long to gather, and that it has run is
    told meanwhile. It stood as starting, and where it was asked for as sent, without a word, for all that time.
    """

    def __init__(self, listener: Listener, row: SpawnRow, reading: LogReading, watch: Watch) -> None:
        self._listener = listener
        self._row = row
        self._reading = reading
        self._watch = watch
        self._started: Started | None = None
        self._told = row.state is not State.STARTING
        self._is_over = False
        self._said_at = 0.0
        self._grace: asyncio.TimerHandle | None = None
        self._more: asyncio.TimerHandle | None = None

    def __call__(self, event: Started | Output) -> None:
        if isinstance(event, Started):
            self._started = event
            self._listener.started(self._row)
            # it may have been heard of late; by a clock that was set it has not begun, or long ago
            lived = time.time() - event.at / 1000
            self._grace = asyncio.get_running_loop().call_later(GRACE_S - min(max(lived, 0), GRACE_S), self._running)
        else:
            self._running()
            self._listener.grew(self._row)
            self._watch.heard(event.up_to_offset)
            self._progress()

    def _progress(self) -> None:
        if self._more is not None:
            return  # it writes faster than it is read: the others have their turn in between
        words = self._reading.progress()
        if self._reading.is_behind:
            self._more = asyncio.get_running_loop().call_later(BREATH_S, self._goes_on)
        if words and time.monotonic() - self._said_at >= SAY_EVERY_S:
            self._said_at = time.monotonic()
            self._listener.said(self._row, words)
        self._asked()

    def _goes_on(self) -> None:
        self._more = None
        self._progress()

    def _asked(self) -> None:
        # not before it is known to run: a question is a word on a running task
        if self._told and not self._is_over and (self._reading.questions or self._reading.withdrawn):
            self._watch.asked(*self._reading.take_questions())

    def over(self) -> None:
        """The attempt has ended: it says nothing any more."""
        self._is_over = True
        if self._more is not None:
            self._more.cancel()
        self._watch.over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if not self._is_over:
            self.over()
        if self._grace is not None:
            self._grace.cancel()

    def _running(self) -> None:
        if self._started is not None and not self._told:
            self._told = True
            self._listener.seen_running(self._row, self._started)
            self._asked()

"""Attempts that are ended by force because their shims cannot be told to stop, and how that end is told."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from signal import SIGKILL

from relay.spawn import tree
from relay.spawn.attempt import Attempt, Exited, Record, Vanished
from relay.spawn.outliving import kill_below
from relay.spawn.shim import processes

WITHIN_S = 1.0
_TIMES = 10


class ByForce:
    """Who had which attempt ended. A shim takes such an end for any other by a signal."""

    def __init__(self) -> None:
        self._by: dict[str, str] = {}

    def ends(self, name: str, by: str) -> None:
        """The attempt of that name is about to be ended, as `by` has asked for."""
        self._by[name] = by

    def told(self, name: str, end: Exited | Vanished) -> Exited | Vanished:
        """The end of that attempt: stopped, where that is what ended it."""
        by = self._by.pop(name, None)
        if by is None or not isinstance(end, Exited) or end.record.signal != SIGKILL:
            return end
        return Exited(replace(end.record, stopped=True), by)


def end_by_force(attempt: Attempt, shim: int) -> None:
    """Kill what is left of an attempt, while its shim is there to be told to stop; it takes a second at most.

    Args:
        attempt: its folder.
        shim: its pid: a task whose exec is not over has no mark yet, and nobody but its shim knows of it.
    """
    with contextlib.suppress(OSError):
        for _ in range(_TIMES):
            tree.sweep(attempt.folder.name, _task_of(attempt.read()))
            if not attempt.request_stop():
                return
            kill_below(shim, attempt.folder)
            time.sleep(WITHIN_S / _TIMES)


def _task_of(now: Record) -> tuple[int, int] | None:
    if now.intent is None or now.started is None or now.intent.boot != processes.boot_id():
        return None
    return now.started.pid, now.started.ticks

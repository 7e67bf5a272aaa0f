"""Attempts that are ended by force because their shims cannot be told to stop, and how that end is told."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGKILL

from relay.spawn.attempt import Exited, Vanished


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

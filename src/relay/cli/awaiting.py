"""Waits for the ends of many spawns at once, over restarts of this machine's broker."""

from __future__ import annotations

import sys
import time

from relay.api import ending_routes
from relay.cli import ages, progress, speech
from relay.cli.spawn_lines import has_ended, standing, title
from relay.cli.waiting import Progress, patiently, say_it_goes_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from relay.api.shapes import Spawn
    from relay.cli.patient import PatientClient

    Tell: TypeAlias = Callable[[Spawn], None]

__all__ = ["SHOWN", "Awaited", "say_it_goes_on"]

FIRST_S, LONGEST_S = 1.0, 5.0
"""How long one question to the broker waits: what is shown of those that go on is that old at most."""
PAUSE_S = 2.0
LATE_S = 5.0
"""How much later than the moment that a person has set an answer may come."""
SHOWN = 5  # named in one sentence


class Awaited:
    """Spawns that are waited for.

    Args:
        client: asks the broker.
        spawns: as they stand, in the order that counts; one may be named twice.
        tell: told of each end, once.
        is_quiet: where nobody watches, say on the way only which of them needs a person.
    """

    def __init__(
        self, client: PatientClient, spawns: Sequence[Spawn], tell: Tell, is_quiet: bool = False
    ) -> None:
        self._client = client
        self._order = [spawn["id"] for spawn in spawns]
        self._now = {spawn["id"]: spawn for spawn in spawns}
        self._tell = tell
        self._told: set[str] = set()
        self._progress = {spawn: Progress(client.home, is_quiet) for spawn in self._now}

    @property
    def in_order(self) -> list[Spawn]:
        """All of them, as they stand."""
        return [self._now[spawn] for spawn in self._order]

    @property
    def going(self) -> list[Spawn]:
        """Those that have not ended, each once."""
        return [spawn for spawn in self._now.values() if not has_ended(spawn)]

    @property
    def ended(self) -> list[Spawn]:
        """Those that have, each once."""
        return [spawn for spawn in self._now.values() if has_ended(spawn)]

    def run(self, until: float | None, first: bool) -> None:
        """Wait until all have ended, or with `first` one, or the moment has come (monotonic seconds).

        Raises:
            RelayError: the broker of this machine went away and did not come back within half a minute.
        """
        self._client.says = ""  # all of it is shown here
        self._look()
        seconds = FIRST_S
        while self.going and not (first and self.ended) and (until is None or time.monotonic() < until):
            ended = len(self.ended)
            with progress.Shown(self._text(), quiet=True) as shown:
                while len(self.ended) == ended and (left := _left(until, seconds)) > 0:
                    self._ask(left, until)
                    shown.text = self._text()
                    seconds = LONGEST_S
            self._look()

    def _ask(self, seconds: float, until: float | None) -> None:
        asked = [each["id"] for each in self.going[: ending_routes.MOST_AWAITED]]
        began = time.monotonic()
        call = ending_routes.first_end(asked, seconds)
        if until is not None:
            call.patience_s = seconds + LATE_S
        for spawn in patiently(self._client, call, until):
            self._now[spawn["id"]] = spawn
        self._say_needs()
        asks = any(each["state"] == "needs_input" for each in self.going)
        if asks and time.monotonic() - began < PAUSE_S:
            time.sleep(min(PAUSE_S, seconds))

    def _say_needs(self) -> None:
        """Say which of them needs a person; and where nobody watches, how each stands."""
        for spawn in self.going:
            if spawn["state"] == "needs_input" or not speech.is_drawable(sys.stderr):
                self._progress[spawn["id"]].tell(spawn)

    def _look(self) -> None:
        for spawn in self.ended:
            if spawn["id"] not in self._told:
                self._told.add(spawn["id"])
                self._tell(spawn)

    def _text(self) -> str:
        going = self.going or self.ended
        first = going[0]
        since = ages.since(first["started"]) or ages.since(first["created"])
        more = f" and {len(going) - 1} more" if len(going) > 1 else ""
        counted = f"{len(self.ended)} of {len(self._now)} ended; " if len(self._now) > 1 else ""
        return f"{counted}waiting for {title(first)} ({standing(first)}, {since}){more}"


def _left(until: float | None, seconds: float) -> float:
    return seconds if until is None else min(until - time.monotonic(), seconds)

"""Follows the broker's events, over its restarts, and wakes who waits for something new."""

from __future__ import annotations

import contextlib
import os
import threading
import time

from relay.api import routes
from relay.api.client import Client
from relay.core.errors import Code, RelayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home

PAUSE_S = 0.3
AWAY = frozenset({Code.NOT_RUNNING, Code.TIMED_OUT})


class _Impatient(Client):
    """Takes a broker that answers nothing for one that is away."""

    def silent(self, fault: RelayError) -> None:
        raise fault


class Feed:
    """The events after a number, as a mark that something is new.

    Args:
        home: whose broker.
        seq: the last event that is known.

    Attributes:
        fd: readable when `news`, `is_away` or `fault` has changed.
        news: something happened since it was last cleared.
        is_away: the broker does not answer now.
        fault: what ended the following for good, or None.
    """

    def __init__(self, home: Home, seq: int) -> None:
        self._home = home
        self._seq = seq
        self.fd, self._wake = os.pipe()
        for each in (self.fd, self._wake):
            os.set_blocking(each, False)
        self.news, self.is_away = False, False
        self.fault: Exception | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def clear(self) -> None:
        """What is new is about to be looked at."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 4096):
                pass
        self.news = False

    def _run(self) -> None:
        try:
            while True:
                self._follow()
                self._tell(away=True)
                time.sleep(PAUSE_S)
        except Exception as fault:
            self.fault = fault
            self._tell(away=self.is_away)

    def _follow(self) -> None:
        """Until the broker goes away."""
        with _Impatient(self._home) as client:
            try:
                client.ask(routes.status())
                if self.is_away:
                    self._tell(away=False)
                for event in client.lines(routes.events(self._seq, follow=True)):
                    self._seq = int(event.get("seq", self._seq))
                    self._tell(away=False)
            except RelayError as fault:
                if not is_away(fault):
                    raise

    def _tell(self, away: bool) -> None:
        self.is_away, self.news = away, True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"n")


def is_away(fault: RelayError) -> bool:
    """Whether a broker may answer again by itself after this."""
    return fault.code in AWAY

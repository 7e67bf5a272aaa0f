"""Shows a list live: on a terminal, or as a stream of what changes."""

from __future__ import annotations

import os
import select
import sys
import time

from relay.api import routes
from relay.cli import speech
from relay.cli.watching.changes import Changes
from relay.cli.watching.feed import Feed, is_away
from relay.core.errors import Misuse, RelayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.live import Live

    from relay.api.view_shapes import Listing
    from relay.cli.invocation import Invocation
    from relay.cli.patient import PatientClient
    from relay.cli.screen import Screen

INTERRUPTED = 130
TICK_S = 1.0  # how often ages are drawn anew
CALM_S = 0.15  # between two questions for the list, however much happens
PATIENCE_S = 3.0
AROUND_S = 2.0  # what other machines run for others makes no event here: they are asked anew so often
CTRL_C, CTRL_D, CTRL_Z = 3, 4, 26
ENDING_KEYS = (ord("q"), ord("Q"), CTRL_C, CTRL_D)
SCREEN_ON, SCREEN_OFF = b"\x1b[?1049h\x1b[?25l", b"\x1b[?1049l\x1b[?25h"
NO_SCREENS = ("", "dumb", "unknown")


class Source:
    """The list, asked for anew when something has happened.

    Args:
        client: of this machine's broker.
        filters: as for `routes.listing`.

    Attributes:
        found: as it was last told.
        feed: says when it is out of date.
    """

    def __init__(self, client: PatientClient, filters: dict[str, object]) -> None:
        self._client = client
        self._filters = filters
        self.found: Listing = client.ask(routes.listing(filters))
        client.says = ""  # nothing is drawn into the screen
        self._asked = time.monotonic()
        self.feed = Feed(client.home, self.found["seq"])

    def wait(self, fds: list[int], seconds: float | None) -> list[int]:
        """Until there is news, a descriptor is readable, or the time is over; which of the descriptors are."""
        seconds = AROUND_S if seconds is None else seconds
        if self.feed.news:
            calm = max(self._asked + CALM_S - time.monotonic(), 0)
            ready = select.select(fds, [], [], calm)[0]
        else:
            ready = select.select([*fds, self.feed.fd], [], [], seconds)[0]
        return [fd for fd in ready if fd in fds]

    def refresh(self) -> bool:
        """Ask anew where that is due; whether the list was told anew.

        Raises:
            RelayError: what will not pass by itself.
        """
        if self.feed.fault is not None:
            raise self.feed.fault
        since = time.monotonic() - self._asked
        if since < (CALM_S if self.feed.news else AROUND_S):
            return False
        self.feed.clear()
        self._asked = time.monotonic()
        try:
            self.found = self._client.ask(routes.listing(self._filters, PATIENCE_S))
        except RelayError as fault:
            if not is_away(fault):
                raise
            self.feed.is_away = True  # until the feed has it back, and says so
            return False
        return True


def show(invocation: Invocation, filters: dict[str, object]) -> int:
    """Show the list until somebody ends it.

    Raises:
        Misuse: there is no terminal to show it on, and no JSON was asked for.
        RelayError: the broker does not run, or refuses the question.
    """
    if invocation.json:
        return _stream(Source(invocation.client(), filters))
    if not speech.is_terminal(sys.stdout) or os.environ.get("TERM", "") in NO_SCREENS:
        hint = invocation.home.command("ps --watch --json")
        raise Misuse("there is no terminal to show it on", why="--watch draws a whole screen", hint=hint)
    return _screen(Source(invocation.client(), filters))


def _stream(source: Source) -> int:
    changes = Changes()
    for each in changes.to(source.found["spawns"]):
        speech.streamed(each)
    while True:
        source.wait([], None)
        if source.refresh():
            for each in changes.to(source.found["spawns"]):
                speech.streamed(each)


def _screen(source: Source) -> int:
    from rich.console import Console
    from rich.live import Live

    from relay.cli.screen import Screen, kept

    screen, console = Screen(), Console(file=sys.stdout, highlight=False)
    with kept(screen) as signals:
        screen.take_keys()
        live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        with live:  # on stdout itself: rich's stand-in does not say which letters it has
            screen.learn(SCREEN_ON)
            try:
                return _loop(source, live, screen, signals)
            finally:
                screen.learn(SCREEN_OFF)  # it leaves it by itself


def _loop(source: Source, live: Live, screen: Screen, signals: int) -> int:
    from relay.cli.watching.board import draw

    drawn, fds = 0.0, [signals, *([0] if screen.is_terminal else [])]
    while True:
        now = time.monotonic()
        if source.refresh() or source.feed.is_away or now >= drawn + TICK_S or not drawn:
            live.update(draw(source.found, *live.console.size, source.feed.is_away), refresh=True)
            drawn = now
        ready = source.wait(fds, max(drawn + TICK_S - time.monotonic(), 0))
        if signals in ready:
            os.read(signals, 4096)
            drawn = 0.0  # the window may have another size
        if 0 in ready:
            keys = os.read(0, 256)
            if not keys or any(key in ENDING_KEYS for key in keys):
                return INTERRUPTED if CTRL_C in keys else 0
            if CTRL_Z in keys:
                screen.stop()
                drawn = 0.0

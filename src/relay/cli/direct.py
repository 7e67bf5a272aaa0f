"""Going past the brokers: which way what is typed takes, and which way what is shown comes from.

    link shows ── the direct way begins where the link has come to ──► it shows, the link stands aside
        ▲                                                                   │
        └──── it missed something, or is broken: the link goes on there ◄───┘

All that is shown has its place in what the task wrote, and all that is typed its number, so that it does not matter
which way brings it: nothing is shown or typed twice, and nothing is left out. While the link shows, a direct way that
missed something is asked again only when there is a moment of quiet: who writes without end is followed by the link.
"""

from __future__ import annotations

import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from relay.api.direct import DirectLine

    Message = dict[str, Any]

FEED, END, WATCH = 1, 2, 4  # as the task's door calls them; `api.direct`, which loads TLS, is loaded when it is needed
SHOWN, HERE, TAKEN = 3, 5, 1
NOBODY = bytes(16)
ABOUT_IT = ("direct", "direct_over", "show")
"""Kinds of what the task's machine says about it: an offer, its end, that the link shows again."""
OPENS_S = 3.0
SILENT_S = 3.0
"""How long what was typed by it goes unanswered before it goes by the link."""
MOST_LATE = 2
"""So often one that was not up in time is asked for again: who was busy for a moment is no machine out of reach."""
QUIET_S = 0.1
LASTS_S = 5.0
"""One that lasted so long is worth another when it breaks."""
MOST_HELD, LEAST = 256 * 1024, 64
"""Bytes of what is shown ahead of the link, and what a frame counts for beside its data."""


class Direct:
    """The direct way of one who is attached, and whether there is one.

    Args:
        source: of what is typed, 16 bytes.
        say: tells the task's machine something over the link.
        show: given output.
        taken: told up to which number what was typed is answered, and whether the task took it.
        moved: told when what is typed goes another way from now on.

    Attributes:
        place: up to where output was shown; None before there was any.
        types: what is typed goes this way.
        shows: what is shown comes this way.
    """

    def __init__(
        self,
        source: bytes,
        say: Callable[[Message], None],
        show: Callable[[Message], None],
        taken: Callable[[int, bool], None],
        moved: Callable[[], None],
    ) -> None:
        self.place: int | None = None
        self.types = self.shows = False
        self.line: DirectLine | None = None
        self._source = source
        self._say = say
        self._show = show
        self._taken = taken
        self._moved = moved
        self._start = 0
        self._may_type = False
        self._is_up = False  # the task's machine has taken it
        self._since = 0.0
        self._until = 0.0  # by when it must be up, or answer
        self._late = 0
        self._is_asked = False  # to show
        self._held: deque[tuple[int, int, bytes]] = deque()
        self._held_bytes = 0
        self._mark: int | None = None  # what came before this place by the link came by this way too

    # how it comes and goes

    def told(self, kind: str, message: Message) -> None:
        """The task's machine says something about it, one of `ABOUT_IT`."""
        if kind == "show":
            self._mark = None  # from the next on, what the link shows is new
            return
        self.drop()
        if kind == "direct":
            self._come(message)

    def _come(self, message: Message) -> None:
        from relay.api.direct import DirectLine

        self._start, self._may_type = message["start"], message["types"]
        self._until = time.monotonic() + OPENS_S
        try:
            pin, secret = bytes.fromhex(message["pin"]), bytes.fromhex(message["secret"])
            self.line = DirectLine(message["host"], message["port"], pin, secret)
        except (OSError, ValueError):
            self.line = None

    def drop(self) -> None:
        """Go by the link from now on."""
        typed, self.types = self.types, False
        if self._is_up:
            self._is_up = False
            self._show({"direct": False})
        if self.line is not None:
            self.line.close()
            self.line = None
        self._let_the_link_show()
        if typed:
            self._moved()

    def forget(self) -> None:
        """The link is broken, and the direct way with it; the next begins where this ended."""
        self.shows = False
        self.drop()
        self._mark, self._late = None, 0

    def serve(self) -> None:
        """Something has come by it, or there is room to write."""
        line = self.line
        assert line is not None
        try:
            if not line.is_open:
                line.go_on()
                if line.is_open:
                    self._opened(line)
                return
            if line.wants_to_write:
                line.push()
            for frame in line.receive():
                self._hear(*frame)
        except OSError:
            self._broke()

    def _opened(self, line: DirectLine) -> None:
        self._is_asked = True
        line.say(WATCH, NOBODY, 0, b"")

    def _came_up(self) -> None:
        self._is_up = True
        self._since = time.monotonic()
        self._until = self._since + SILENT_S
        self._show({"direct": True})
        if self._may_type:
            self.types = True
            self._moved()

    def _broke(self) -> None:
        lasted = self._is_up and time.monotonic() - self._since >= LASTS_S
        self.drop()
        if lasted:
            self._say({"k": "direct"})

    # time

    def patience(self, waits: bool) -> float | None:
        """For how long it may be waited for; None for ever.

        Args:
            waits: something typed is not answered.
        """
        if self.line is None:
            return None
        if not self._is_up or (waits and self.types):
            return max(0.0, self._until - time.monotonic())
        return None if self._is_asked else QUIET_S

    def tend(self, waits: bool) -> bool:
        """Nothing came for as long as `patience` said; whether that was for this."""
        if self.patience(waits) is None:
            return False
        if not self._is_up or (waits and self.types):
            if time.monotonic() >= self._until:
                self._gave_no_answer()
        elif not self._is_asked:
            self._is_asked = True
            self._tell(WATCH, NOBODY, 0, b"")
        return True

    def _gave_no_answer(self) -> None:
        was_up = self._is_up
        self.drop()
        if not was_up and self._late < MOST_LATE:
            self._late += 1
            self._say({"k": "direct"})

    # what is typed

    def type(self, n: int, data: bytes | None, alone: bool) -> None:
        """Type something, where `types` is; where that breaks, `moved` is told.

        Args:
            n: its number.
            data: None for the end of what is typed.
            alone: all that was typed before is answered.
        """
        now = time.monotonic()
        if alone:
            self._until = now + SILENT_S
        elif now >= self._until:
            self.drop()
            return  # by the link, with what came before it
        self._tell(FEED if data is not None else END, self._source, n, data or b"")

    def _tell(self, kind: int, source: bytes, n: int, data: bytes) -> None:
        try:
            if self.line is not None:
                self.line.say(kind, source, n, data)
        except OSError:
            self._broke()

    # what is shown

    def is_new(self, following: int) -> bool:
        """Whether what the link shows up to a place was not shown by the direct way before."""
        if self._mark is not None and following <= self._mark:
            return False
        self.place = following
        return True

    def follow(self) -> None:
        """The link has shown something: the direct way may go on from there."""
        if self._held and not self.shows:
            self._match()

    def _hear(self, kind: int, start: int, end: int, data: bytes) -> None:
        if kind == SHOWN:
            self._shown(start, end, data)
        elif kind == HERE:
            if not self._is_up:
                self._came_up()
            self._hold(end, end, b"")
        else:
            self._until = time.monotonic() + SILENT_S
            self._taken(start, kind == TAKEN)

    def _shown(self, start: int, end: int, data: bytes) -> None:
        place = self.place
        if not data:
            self._let_the_link_show()
        elif not self.shows:
            if start != end:  # what the disk had no room for has no place: the link shows it
                self._hold(start, end, data)
        elif start != end and self._start + end <= (place or 0):
            return  # the link was faster
        elif self._start + start == place:
            self._out(end, data)
        else:
            self._let_the_link_show()

    def _out(self, end: int, data: bytes) -> None:
        self.place = self._mark = self._start + end
        self._show({"data": data, "next": self.place, "stream": 0})

    def _hold(self, start: int, end: int, data: bytes) -> None:
        self._held.append((start, end, data))
        self._held_bytes += len(data) + LEAST
        if self._held_bytes > MOST_HELD:
            self._let_the_link_show()
        else:
            self._match()

    def _match(self) -> None:
        at = (self.place or 0) - self._start
        held = self._held
        while held and held[0][1] <= at and held[0][0] != at:
            self._held_bytes -= len(held.popleft()[2]) + LEAST
        if self.place is None or not held or held[0][0] != at:
            return
        self.shows = True
        self._say({"k": "aside"})
        for _, end, data in self._take_held():
            if data:
                self._out(end, data)

    def _take_held(self) -> list[tuple[int, int, bytes]]:
        held = list(self._held)
        self._held.clear()
        self._held_bytes = 0
        return held

    def _let_the_link_show(self) -> None:
        self._take_held()
        self._is_asked = False
        if self.shows:
            self.shows = False
            self._say({"k": "show", "next": self.place})

"""One attached task: shows what comes, sends what is typed, and goes on by itself after a broken connection.

What is typed is numbered under a source of this run's own, kept until it is acknowledged, and sent again after a break:
the task's shim takes each number once. What a person typed is sent again after a short break only.
"""

from __future__ import annotations

import base64
import json
import os
import select
import time

from relay.api import http1, silence
from relay.api.duplex import Duplex
from relay.cli import progress, speech
from relay.cli.clean import clean
from relay.cli.detach_key import name_of, place_of
from relay.cli.direct import ABOUT_IT, Direct
from relay.cli.seat import NOWHERE, Seat
from relay.cli.typed_ahead import KEPT_S, TypedAhead
from relay.cli.unanswered import PIECE, Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from relay.api.home import Home
    from relay.cli.screen import Screen

    Message = dict[str, Any]

AGAIN_S, SILENT_S, LOOK_S = 0.3, 10.0, 2.0
INTERRUPT = 3
LEFT, OVER = "left", "over"


class Attached:
    """A task on this terminal.

    Args:
        home: whose broker.
        spawn: its id.
        drive: whether to type.
        screen: this terminal.
        wakeup: readable after a signal.
        key: the byte that leaves, in raw mode.
        who: the person, for other viewers.
        greet: told once what is attached to.
        show: given each piece of output.
    """

    def __init__(
        self,
        home: Home,
        spawn: str,
        drive: bool,
        screen: Screen,
        wakeup: int,
        key: int,
        who: str,
        greet: Callable[[Message], None],
        show: Callable[[Message], None],
    ) -> None:
        self._home, self._spawn, self._drive = home, spawn, drive
        self._screen = screen
        self._wakeup = wakeup
        self._key, self._who = key, who
        self._greet, self._show = greet, show
        self._source = os.urandom(16)
        self._out = Unanswered()
        self._direct = Direct(self._source, self._say_over, show, self._answered, self._send_all)
        self._ahead = TypedAhead()
        self._told = ""
        self._hello: Message = {}
        self._typing = drive
        self._line: Duplex | None = None
        self._is_greeted = False  # over this line: what was typed before goes before what is typed now
        self._seat = Seat(screen.is_terminal)
        self._lines = http1.Lines()
        self._can_break: type[Exception]

    def run(self) -> str:
        """Until the task has ended (`OVER`) or the person leaves (`LEFT`).

        Raises:
            RelayError: it cannot be attached to.
        """
        from relay.core.errors import RelayError

        self._can_break = RelayError
        with progress.Shown("waiting for the machine that runs it", quiet=True):
            self._connect()  # until it has said its first word: a greeting, or why there is none
        try:
            while (end := self._turn()) is None:
                pass
        finally:
            self._hang_up()
        return end

    # the connection

    def _connect(self) -> None:
        size = self._screen.size() if self._drive else None
        source = base64.b64encode(self._source).decode("ascii")
        ask: Message = {"source": source, "drive": self._drive, "again": bool(self._hello), "who": self._who}
        ask |= {"offset": self._direct.place, "past_brokers": True}
        ask |= {"rows": size[0], "columns": size[1]} if size else {}
        self._lines = http1.Lines()
        self._line = Duplex(self._home, f"spawns/{http1.quoted(self._spawn)}/attach", json.dumps(ask).encode() + b"\n")

    def _hang_up(self) -> None:
        self._is_greeted = False
        if self._line is not None:
            self._line.close()
            self._line = None
        self._direct.forget()

    def _broke(self, fault: Exception) -> None:
        from relay.core.errors import Unreachable

        if not isinstance(fault, Unreachable) or not self._hello:
            raise fault
        self._hang_up()
        if self._ahead.broke(time.monotonic()):
            self._say(f"the connection broke off; it goes on by itself when it can ({self._leaving})")

    @property
    def _leaving(self) -> str:
        return f"{name_of(self._key)} leaves" if self._screen.is_raw else "Ctrl-C leaves"

    def _try_again(self) -> None:
        try:
            self._connect()
        except self._can_break as fault:
            self._broke(fault)

    def _say(self, said: str) -> None:
        text = clean(said)  # names of others are in it
        if text != self._told:
            self._told = text
            end = "\r\n" if self._screen.is_raw else "\n"
            speech.note(f"{end if self._screen.is_raw else ''}[relay] {text}{end if self._screen.is_raw else ''}")

    # one turn

    def _turn(self) -> str | None:
        line = self._line
        watched: list[Any] = [self._wakeup]
        if self._reads_keys():
            watched.append(0)
        if line is not None:
            watched.append(line)
        direct = self._direct.line
        if direct is not None:
            watched.append(direct)
        full = [direct] if direct is not None and direct.wants_to_write else []
        ready, room, _ = select.select(watched, full, [], self._patience())
        if self._wakeup in ready:
            self._resized()
        if direct is not None and direct is self._direct.line and (direct in ready or room):
            self._direct.serve()
        if 0 in ready and self._typed() == LEFT:
            return LEFT
        if line is not None and not ready and not room:
            if not self._direct.tend(bool(self._out.sent)):
                self._look()
        if line is None:
            self._give_up_what_is_old()
            if not ready:
                self._try_again()
            return None
        try:
            return self._heard(line) if line in ready or line.waits else None
        except self._can_break as fault:
            self._broke(fault)
            return None

    def _reads_keys(self) -> bool:
        if not self._is_greeted:
            # for the key that leaves, and so that what is typed now is not sent much later
            return self._screen.is_raw or (self._typing and self._screen.is_terminal)
        return (self._typing or self._screen.is_raw) and self._out.may_read(ahead=self._screen.is_raw)

    def _patience(self) -> float | None:
        if self._line is None:
            return AGAIN_S
        if self._line.waits:
            return 0
        direct = self._direct.patience(bool(self._out.sent))
        return (SILENT_S if self._out.sent or not self._is_greeted else None) if direct is None else direct

    def _look(self) -> None:
        """Nothing came for a while though something should have: find out whether the broker is at fault."""
        if not silence.answers(self._home.socket, LOOK_S):
            fault = silence.too_slow(self._home)
            self._say(f"{fault.message}: {fault.why} ({self._leaving})")

    def _heard(self, line: Duplex) -> str | None:
        for piece in line.receive():
            for text in self._lines.feed(piece):
                self._take(json.loads(text))
        return OVER if line.done else None

    def _take(self, message: Message) -> None:
        kind = message.get("k")
        if kind == "out":
            self._acknowledged(message.get("typed", 0))
            if self._direct.is_new(message["next"]):
                self._show(message | {"data": base64.b64decode(message["data"])})
                self._direct.follow()
        elif kind == "typed":
            self._answered(message["n"], message["taken"])
        elif kind in ABOUT_IT:
            self._direct.told(kind, message)
        elif kind == "driver":
            self._seated(message)
        elif kind == "hello":
            self._greeted(message)
        elif "error" in message:
            from relay.core.errors import from_json

            raise from_json(message["error"])

    def _seated(self, message: Message) -> None:
        self._say(self._seat.told(message))
        if not self._seat.is_anothers:
            self._told = ""
        elif self._seat.bars:
            self._out.forget_waiting()

    def _answered(self, n: int, taken: bool) -> None:
        # a program has no more to say: what it typed may have ended the task before its end came
        is_end = not self._screen.is_terminal and self._out.sent.get(n, b"") is None
        is_open = n in self._out.sent  # else it was sent by two ways, and the other one has answered
        self._acknowledged(n)
        if not taken and is_open and not is_end:
            self._say(NOWHERE)

    def _acknowledged(self, n: int) -> None:
        self._send_all(self._out.answered(n))

    def _greeted(self, hello: Message) -> None:
        first, self._hello, self._is_greeted = not self._hello, hello, True
        self._typing = self._drive and hello["input"]
        other = self._seat.greeted(hello, self._typing)
        if first:
            self._greet(hello)
        else:
            self._give_up_what_is_old()
            late = self._ahead.drops
            self._say(f"attached again{other}")
            self._told = ""
            self._tell_size(anew=True)  # what was said of all that stands in the midst of it
            if late:
                self._screen.forget_typed()
        if self._out.sent and self._seat.bars:
            self._out.clear()
            self._say(NOWHERE)
        self._send_all()
        self._queue(self._ahead.mended())

    # what is typed

    def _give_up_what_is_old(self) -> None:
        """Of a person: a key that arrives much later does what nobody means any more. A program's words wait."""
        if self._screen.is_terminal and self._typing and self._ahead.gives_up(time.monotonic()):
            self._out.clear()
            self._say(f"for {KEPT_S:.0f} s it could not be reached: what you type is dropped until it can")

    def _send(self, n: int) -> None:
        data = self._out.sent[n]
        if self._direct.types:
            self._direct.type(n, data, alone=len(self._out.sent) == 1)
        elif data is None:
            self._say_over({"k": "end", "n": n})
        else:
            self._say_over({"k": "in", "n": n, "data": base64.b64encode(data).decode("ascii")})

    def _send_all(self, numbers: list[int] | None = None) -> None:
        for n in list(self._out.sent) if numbers is None else numbers:
            if n in self._out.sent:
                self._send(n)

    def _say_over(self, message: Message) -> None:
        if self._line is not None:
            try:
                self._line.send(json.dumps(message).encode() + b"\n")
            except self._can_break as fault:
                self._broke(fault)

    def _typed(self) -> str | None:
        data = self._screen.typed(PIECE)
        if not data:
            return self._no_more()
        if self._screen.is_raw and (left := place_of(self._key, data)) >= 0:
            if self._typing and self._is_greeted:
                self._queue(data[:left])
            return self._leave()
        if self._typing:
            (self._queue if self._is_greeted else self._type_ahead)(data)
        return LEFT if not self._typing and INTERRUPT in data else None

    def _type_ahead(self, data: bytes) -> None:
        self._give_up_what_is_old()
        told_before = self._ahead.drops
        if not self._ahead.add(data, time.monotonic()) and not told_before:
            self._say("too much was typed while it is broken off: the rest is dropped until it is attached again")

    def _no_more(self) -> str | None:
        if not self._is_greeted and self._screen.is_terminal and self._ahead.drops:
            return None  # what came before it was dropped: this is no end of that
        if self._seat.bars:
            self._say(NOWHERE)  # nor of what is typed when this one drives again
            return None
        self._queue(self._ahead.take())
        self._typing = False
        if self._screen.is_terminal or self._out.n:
            self._queue(None)
        return None

    def _queue(self, data: bytes | None) -> None:
        if data != b"" and self._seat.bars:
            self._say(NOWHERE)
        elif data != b"":
            self._send_all(self._out.add(data))

    def _leave(self) -> str:
        """Wait a moment for what was typed before the key to be taken."""
        until = time.monotonic() + 1.0
        while self._out.sent and self._line is not None and time.monotonic() < until:
            direct = self._direct.line
            watched: list[Any] = [self._line] if direct is None else [self._line, direct]
            ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
            if direct in ready:
                self._direct.serve()
            if self._line in ready and self._heard(self._line) == OVER:
                break
        return LEFT

    def _resized(self) -> None:
        os.read(self._wakeup, 4096)
        self._tell_size()

    def _tell_size(self, anew: bool = False) -> None:
        if self._drive:
            self._screen.tell_size(lambda r, c: self._say_over({"k": "size", "rows": r, "columns": c}), anew)

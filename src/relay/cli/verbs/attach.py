"""`relay attach`."""

from __future__ import annotations

import base64
import sys

from relay.api import routes
from relay.api.person import person as me
from relay.cli import speech, taking, waiting
from relay.cli.attached import LEFT, Attached
from relay.cli.clean import clean
from relay.cli.detach_key import DEFAULT, code_of, name_of
from relay.cli.screen import Screen, kept
from relay.cli.spawn_lines import has_ended, say_failure, status_of, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation

INTERRUPTED = 130
NOTE = 3
NOT_BEGUN = ("held", "waiting", "delivered", "queued")
STREAMS = {0: "out", 1: "err", NOTE: "note"}


def run(invocation: Invocation, *, spawn: str, view: bool, detach_key: str | None, take: bool) -> int:
    """Show a task on this terminal and type into it, until it has ended or the person leaves."""
    key = code_of(detach_key or DEFAULT)
    found: Spawn = invocation.client().ask(routes.show(spawn))
    screen = Screen()
    if take:
        found = taking.take(invocation, found, view, screen.is_terminal)
    face = _Face(invocation, found, screen, key, view)
    end = LEFT
    try:
        with kept(screen) as wakeup:
            person = me()
            end = Attached(
                invocation.home, found["id"], not view, screen, wakeup, key, person, face.greet, face.show
            ).run()
    except KeyboardInterrupt:
        end = LEFT
    return _left(invocation, found, view) if end == LEFT else _ended(invocation, found)


def _left(invocation: Invocation, spawn: Spawn, view: bool) -> int:
    # who only looked would drive by the plain verb, and take that from somebody else
    back = "attach --view" if view else "attach"
    waiting.say_it_is_left(invocation.client(), spawn["id"], invocation.home, back)
    return INTERRUPTED


def _ended(invocation: Invocation, spawn: Spawn) -> int:
    now = invocation.client().ask(routes.show(spawn["id"]))
    ended = waiting.until_ended(invocation.client(), now, is_quiet=invocation.json)
    status = status_of(ended)
    if invocation.json:
        speech.document(ended)
    elif status:
        say_failure(ended, invocation.home)
    return status


class _Face:
    """How it looks: the banner, and each piece of output."""

    def __init__(self, invocation: Invocation, spawn: Spawn, screen: Screen, key: int, view: bool) -> None:
        self._json = invocation.json
        self._spawn = spawn
        self._screen = screen
        self._key = key
        self._view = view

    def greet(self, hello: dict[str, Any]) -> None:
        """Say what is attached to and how to leave; take the terminal over where the task has one."""
        if self._json:
            speech.streamed({"attached": {key: hello[key] for key in ("terminal", "input", "drives", "driver")}})
            return
        raw = hello["terminal"] and self._screen.is_terminal
        leave = name_of(self._key) if raw else "Ctrl-C"
        if not has_ended(self._spawn):
            so = "as it is" if hello["state"] in NOT_BEGUN else "running"
            speech.note(f"[relay] {title(self._spawn)}: {self._what(hello)}; {leave} leaves it {so}")
        if raw:
            self._screen.make_raw()

    def _what(self, hello: dict[str, Any]) -> str:
        state = f"it is {hello['state']}" + (f" ({clean(hello['reason'])})" if hello["reason"] else "")
        waits = f"{state}, " if hello["state"] in NOT_BEGUN else ""
        if not hello["terminal"]:
            return waits + self._without_terminal(hello)
        if self._view:
            driver = f", {clean(hello['driver'])} drives" if hello["driver"] else ""
            return f"{waits}its terminal, to look at{driver}"
        return f"{waits}its terminal"

    def _without_terminal(self, hello: dict[str, Any]) -> str:
        if hello["input"] and not self._view:
            return "it has no terminal; its log follows, and each line you type is sent to it, Ctrl-D ends its input"
        why = "" if hello["input"] else " and takes no input"
        return f"it has no terminal{why}; its log follows"

    def show(self, message: dict[str, Any]) -> None:
        """A piece of output; or whether it goes past the brokers now, which a person need not know."""
        if "direct" in message:
            if self._json:
                speech.streamed(message)
            return
        data: bytes = message["data"]
        if self._json:
            speech.streamed(_line(message, data))
        elif message["stream"] == NOTE:
            self._say(data.decode("utf-8", "replace"))
        elif message["stream"] and not self._screen.is_raw:
            sys.stderr.buffer.write(data)
            sys.stderr.flush()
        else:
            self._screen.show(data)


    def _say(self, text: str) -> None:
        """What relay says between two attempts, on a line of its own, in raw mode too."""
        end = "\r\n" if self._screen.is_raw else "\n"
        speech.flush()
        sys.stderr.write(f"{end if self._screen.is_raw else ''}[relay] {clean(text.rstrip())}{end}")
        sys.stderr.flush()


def _line(message: dict[str, Any], data: bytes) -> dict[str, Any]:
    text = data.decode("utf-8", "replace")
    told = {"stream": STREAMS.get(message["stream"], "err"), "data": text, "next": message["next"]}
    exact = text.encode() == data
    return told if exact else told | {"raw": base64.b64encode(data).decode("ascii")}



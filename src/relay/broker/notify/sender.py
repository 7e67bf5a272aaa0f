"""The program that sends notifications: `python -m relay.broker.notify.sender`, an order a line as JSON on stdin.

It is a process of its own so that neither a service's plugin nor the memory of all of them is the broker's. It dies
with the broker. Before it sends it writes `began` into a file, and afterwards how it went: so a broker that was
killed meanwhile knows what to do again. Nothing that it says has a part of the address in it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import resource
import sys
from typing import Any
from urllib.parse import unquote

from relay.spawn.shim.kernel import die_with_parent, forbid_dumps

BEGAN = "began"
MOST_ERROR = 300
MOST_MEMORY, MOST_OF_OWN = 2 << 30, 384 << 20
CONNECT_S, ANSWER_S = 10.0, 20.0
LEAST_SECRET = 4
BAD_ADDRESS = "no service takes an address of this form"
SEVERAL = "it is more than one address: add a channel for each"
NO_WORD = "the service did not take it, and said no more"
SLOW = "it gave no answer in time"
BROKE_OFF = "its answer was too long, or its plugin failed"


def masked(text: str, address: str) -> str:
    """A text without any part of the address, on one line."""
    rest = address.partition("://")[2]
    parts = {part for each in (rest, unquote(rest)) for part in re.split(r"[^A-Za-z0-9_-]+", each)}
    for part in sorted(filter(lambda each: len(each) >= LEAST_SECRET, parts), key=len, reverse=True):
        text = text.replace(part, "…")
    return " ".join(text.split())[:MOST_ERROR]


class _Said(logging.Handler):
    """Keeps what a plugin warns of, and why the service may have taken what it did not say that it took."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.doubt = ""

    def emit(self, record: logging.LogRecord) -> None:
        said = str(record.msg)
        if said.startswith("Socket Exception") and "read timed out" in record.getMessage().lower():
            self.doubt = SLOW
        elif said.startswith("Notification") and "raised an exception" in said:
            self.doubt = BROKE_OFF
        elif record.levelno >= logging.WARNING and len(self.lines) < 8:
            self.lines.append(record.getMessage())


def _bound() -> None:
    die_with_parent()
    forbid_dumps()
    for what, most in ((resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_DATA, MOST_OF_OWN)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _silence() -> int:
    """What the plugins print goes nowhere; the descriptor that the answer goes to."""
    answer, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answer


def _note(path: str | None, text: str) -> None:
    if path is None:
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, text.encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def _send(order: dict[str, Any], said: _Said) -> dict[str, Any]:
    if order["push"] is not None:
        from relay.broker.notify.webpush import push

        _note(order["marker"], BEGAN)
        return push(order)
    import apprise

    apprise.URLBase.socket_connect_timeout, apprise.URLBase.socket_read_timeout = CONNECT_S, ANSWER_S
    services = apprise.Apprise()
    if not services.add(order["address"]) or len(services) != 1:
        return {"ok": False, "bad": True, "error": SEVERAL if len(services) > 1 else BAD_ADDRESS}
    if order["check"]:
        return {"ok": True, "error": ""}
    for each in services:
        each.redirects = False  # another place, asked by GET, answers 200 to what nobody got
    _note(order["marker"], BEGAN)
    done = services.notify(body=order["body"], title=order["title"], notify_type=order["level"], body_format="text")
    if done:
        return {"ok": True, "error": ""}
    return {"ok": False, "error": said.doubt or "; ".join(said.lines) or NO_WORD, "doubt": bool(said.doubt)}


def _done(order: dict[str, Any]) -> dict[str, Any]:
    said = _Said()
    logger = logging.getLogger("apprise")
    logger.handlers[:] = [said]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if os.getppid() != order["parent"]:
        os._exit(1)  # the broker died before this process was bound to it
    try:
        answer = _send(order, said)
    except Exception as error:
        answer = {"ok": False, "error": f"its plugin failed: {type(error).__name__}: {error}"}
    return answer | {"error": masked(str(answer["error"]), order["address"])}


def main() -> None:
    """Read each order, send, say how it went."""
    answer = _silence()
    _bound()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        text = json.dumps(_done(order))
        with contextlib.suppress(OSError):  # a full disk: what is said here counts as much while the broker lives
            _note(None if order["check"] else order["marker"], text)
        os.write(answer, text.encode() + b"\n")


if __name__ == "__main__":
    main()

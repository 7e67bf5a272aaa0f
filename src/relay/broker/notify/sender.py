"""The program that sends notifications: `python -m relay.broker.notify.sender`, an order a line as JSON on stdin.

It is a process of its own so that neither a service's plugin nor the memory of all of them is the broker's. It dies
with the broker. Before it sends it writes `began` into a file, and afterwards how it went: so a broker that was
killed meanwhile knows what to do again. Nothing that it says has a part of the address in it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from relay.spawn.shim.kernel import die_with_parent, forbid_dumps

BEGAN = "began"
MOST_ERROR = 300
MOST_MEMORY = 2 << 30
LEAST_SECRET = 4
BAD_ADDRESS = "no service takes an address of this form"
NO_WORD = "the service did not take it, and said no more"


def masked(text: str, address: str) -> str:
    """A text without any part of the address, on one line."""
    rest = address.partition("://")[2]
    parts = {part for each in (rest, unquote(rest)) for part in re.split(r"[^A-Za-z0-9_-]+", each)}
    for part in sorted(filter(lambda each: len(each) >= LEAST_SECRET, parts), key=len, reverse=True):
        text = text.replace(part, "…")
    return " ".join(text.split())[:MOST_ERROR]


class _Said(logging.Handler):
    """Keeps what a plugin warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 8:
            self.lines.append(record.getMessage())


def _bound() -> None:
    die_with_parent()
    forbid_dumps()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(MOST_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


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


def _send(order: dict[str, Any], said: Iterable[str]) -> dict[str, Any]:
    if order["push"] is not None:
        from relay.broker.notify.webpush import push

        _note(order["marker"], BEGAN)
        return push(order)
    import apprise

    services = apprise.Apprise()
    if not services.add(order["address"]):
        return {"ok": False, "bad": True, "error": BAD_ADDRESS}
    if order["check"]:
        return {"ok": True, "error": ""}
    _note(order["marker"], BEGAN)
    done = services.notify(body=order["body"], title=order["title"], notify_type=order["level"], body_format="text")
    return {"ok": bool(done), "error": "" if done else "; ".join(said) or NO_WORD}


def _done(order: dict[str, Any]) -> dict[str, Any]:
    said = _Said()
    logger = logging.getLogger("apprise")
    logger.handlers[:] = [said]
    logger.propagate = False
    if os.getppid() != order["parent"]:
        os._exit(1)  # the broker died before this process was bound to it
    try:
        answer = _send(order, said.lines)
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
        if not order["check"]:
            _note(order["marker"], text)
        os.write(answer, text.encode() + b"\n")


if __name__ == "__main__":
    main()

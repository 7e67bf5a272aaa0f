"""Streams that outlive the broker of this machine: a restart is waited out, and they go on where they stood."""

from __future__ import annotations

import time

from relay.api import routes
from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from relay.api.client import Client
    from relay.api.routes import Call

    Line = TypeVar("Line")

AWAY_S, PAUSE_S = 30.0, 0.2


def last_event(client: Client) -> int:
    """The number of the last event: what is followed from it on misses none that comes while nobody follows."""
    return client.ask(routes.listing({"limit": 1}))["seq"]


def over_restarts(
    client: Client,
    call: Callable[[int | None], Call[Line]],
    start: int | None,
    key: str,
    follow: bool,
    has_end: bool = True,
) -> Iterator[Line]:
    """The lines of a stream, each once.

    Args:
        client: asks the broker.
        call: the request, from a number on.
        start: the first number; None where the request says by itself where to begin.
        key: the field of a line with the number to go on from.
        follow: go on after a restart; else a broker that goes away ends it.
        has_end: it may end by itself; else, followed, it was a broker that was stopped which ended it.

    Raises:
        RelayError: what the broker answered; or it went away and was not back within half a minute.
    """
    if follow:
        client.ask(routes.status())  # one that does not run at all is said at once
    at = start
    while True:
        try:
            for line in client.lines(call(at)):
                at = _number(line, key, at)
                yield line
            if has_end or not follow:
                return
            time.sleep(PAUSE_S)  # it answers until it is gone
            _wait_for_it(client)
        except Exception as fault:
            if not (follow and _is_away(fault)):
                raise
            _wait_for_it(client, fault)


def _number(line: Any, key: str, at: int | None) -> int | None:
    if "error" in line and key not in line:
        from relay.core.errors import from_json

        raise from_json(line["error"])
    return int(line.get(key, at)) if line.get(key, at) is not None else None


def _is_away(fault: Exception) -> bool:
    from relay.core.errors import Code, RelayError

    return isinstance(fault, RelayError) and fault.code is Code.NOT_RUNNING


def _wait_for_it(client: Client, fault: Exception | None = None) -> None:
    until = time.monotonic() + AWAY_S
    told = False
    while time.monotonic() < until:
        try:
            client.ask(routes.status())
            return
        except Exception as again:
            if not _is_away(again):
                raise
            fault = fault or again
        if not told and time.monotonic() > until - AWAY_S + 1:
            told = True
            speech.note("the broker of this machine went away; waiting for it to be back")
        time.sleep(PAUSE_S)
    if fault is not None:
        raise fault

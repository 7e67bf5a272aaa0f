"""Connections that cannot be accepted, for want of descriptors or memory: said once, and once a minute while it lasts.

The event loop tries again each second by itself. Some versions of it tell of one failure as often as the port's
backlog is long, each time with a traceback: for as long as it lasted, that filled the log and kept the broker busy.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import time
from collections.abc import Callable
from typing import Any

SAID_EVERY_S = 60.0
_log = logging.getLogger(__name__)


class Shortage:
    """Hears of the event loop's faults; all but these are left to the loop's own words.

    Args:
        clock: seconds, that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        why = _why(fault) if isinstance(fault, OSError) and "socket" in context else ""
        if not why:
            loop.default_exception_handler(context)
        elif self._said is None or self._clock() - self._said >= SAID_EVERY_S:
            self._said = self._clock()
            _log.error("no connection is accepted for now, who connects waits, and what runs goes on: %s", why)


def _why(fault: OSError) -> str:
    """What there is none left of, and what to do; empty for other faults."""
    if fault.errno == errno.EMFILE:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return (
            f"this broker has as many files and connections open as it may have, {most}; to allow more: ulimit -n"
            " where it is started (LimitNOFILE= in its service), then relay down, relay up"
        )
    if fault.errno == errno.ENFILE:
        return "this machine has as many files open as it may have; to allow more: sysctl fs.file-max"
    if fault.errno in (errno.ENOBUFS, errno.ENOMEM):
        return "this machine has no memory left for one; end what uses it"
    return ""

"""Notices that the program on disk was replaced while the old one runs, as a service does that nobody restarts.

A broker that ends with `REPLACED` is started again by its service manager, and then is the new program. What it runs
is not touched by that. A program that does not start takes nobody's place: the old one runs on and says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable

import relay

LOOK_EVERY_S = 2.0
TRIAL_S = 30.0
REPLACED = 75  # EX_TEMPFAIL of sysexits.h: "try again"; any status but 0 would do
Stamp = tuple[int, int, int]
_log = logging.getLogger(__name__)


class Upgrade:
    """Watches one file of the package: every way to install relay replaces it. Made when the program starts."""

    def __init__(self) -> None:
        self._file = relay.__file__
        self._known = _stamp(self._file)
        self.found = False

    async def watch(self, found: Callable[[], None]) -> None:
        """Until the program was replaced by one that works; then `found` is set, and called."""
        seen = self._known
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            before, seen = seen, _stamp(self._file)
            # an installation takes its time: the same file has to be seen twice
            if seen is None or seen != before or seen == self._known:
                continue
            if await asyncio.to_thread(_works):
                _log.info("relay was replaced on disk: this broker makes room for the new one")
                self.found = True
                found()
                return
            _log.error("relay was replaced on disk by one that does not start; this broker runs on")
            self._known = seen


def _stamp(file: str) -> Stamp | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _works() -> bool:
    words = [sys.executable, "-P", "-m", "relay.daemon", "--help"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0

"""Starts a broker as a program of its own, and ends it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from relay.api.client import not_set_up
from relay.core.errors import Code, LocalFault, from_json

if TYPE_CHECKING:
    from relay.api.home import Home

READY_S = 30.0
END_S = 15.0
MAX_READY = 64 * 1024
MAX_LINE = 4096


class Program:
    """A broker that was started here.

    Attributes:
        process: the daemon.
        listen: `host:port` each, as it said itself.
    """

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any]) -> None:
        self.process = process
        self.listen: list[str] = [str(address) for address in ready.get("listen", [])]

    def end(self) -> int:
        """Ask it to stop, and make it where it does not; returns its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start(home: Home) -> Program:
    """Start the broker of a home and wait until it answers.

    Raises:
        RelayError: why it did not start, in its own words.
    """
    if not home.is_set_up:
        raise not_set_up(home)
    reading, writing = os.pipe()
    try:
        process = _launch(home, writing)
    finally:
        os.close(writing)
    try:
        return Program(process, _ready(home, process, reading))
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        os.close(reading)


def _launch(home: Home, ready_fd: int) -> subprocess.Popen[bytes]:
    # a session of its own: Ctrl-C and a closed terminal reach the command alone, which asks the broker to stop
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "relay.daemon", "--home", home.path, "--ready-fd", str(ready_fd)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=_log_for_crashes(home),
        pass_fds=(ready_fd,),
        start_new_session=True,
        cwd=home.path,
    )


def _log_for_crashes(home: Home) -> int:
    return os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _ready(home: Home, process: subprocess.Popen[bytes], reading: int) -> dict[str, Any]:
    until = time.monotonic() + READY_S
    data = b""
    while b"\n" not in data and len(data) < MAX_READY:
        if not select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
            raise _silent(home, f"it said nothing for {READY_S:.0f} s")
        piece = os.read(reading, MAX_READY)
        if not piece:
            break
        data += piece
    return _understood(home, process, data)


def _understood(home: Home, process: subprocess.Popen[bytes], data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        ended = f"it ended at once with exit status {process.wait(END_S)}"
        raise _silent(home, f"{ended}: {last_line(home)}".rstrip(": ")) from None
    if "error" in document:
        process.wait(END_S)
        raise from_json(document["error"])
    ready: dict[str, Any] = document
    return ready


def last_line(home: Home) -> str:
    """The last line of the broker's log, or an empty text."""
    with contextlib.suppress(OSError), open(home.log, "rb") as file:
        file.seek(max(0, os.path.getsize(home.log) - MAX_LINE))
        lines = file.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")
    return ""


def _silent(home: Home, why: str) -> LocalFault:
    return LocalFault("the broker did not start", code=Code.LAUNCH_FAILED, why=why, hint=f"tail {home.log}")

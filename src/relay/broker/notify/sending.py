"""Has notifications sent by child processes, and reads what a child of a killed broker left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.broker.notify.sender import BEGAN
from relay.core.values import frozen

WITHIN_S = 40.0
REST_S = 15.0  # to load the services takes most of a second: many that end together pay it once
CUT_OFF = "it was cut off"
PROGRAM = (sys.executable, "-P", "-m", "relay.broker.notify.sender")
_KEPT = (
    *("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"),
    *("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_DIR", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PYTHONPATH"),
)


@frozen
class Parcel:
    """What is sent, and whereto. The address is not shown where this is printed.

    Attributes:
        address: of the channel.
        title, body, level: what is sent.
        marker: where the child writes how far it is; None to look at the address only.
        push: for a browser: the file of this broker's key, the event and the spawn.
    """

    address: str
    title: str = ""
    body: str = ""
    level: str = "info"
    marker: Path | None = None
    push: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"Parcel({self.title!r})"


@frozen
class Went:
    """How it went.

    Attributes:
        ok: the service took it.
        error: why not, without any part of the address.
        is_bad: no service takes such an address, so that another try is pointless.
        is_in_doubt: it was cut off where the service may have taken it.
        is_gone: there is nobody any more behind that address.
    """

    ok: bool
    error: str = ""
    is_bad: bool = False
    is_in_doubt: bool = False
    is_gone: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether the service had time to say that it took it, and did not."""
        return self.is_in_doubt and self.error != CUT_OFF


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {name: own[name] for name in _KEPT if name in own}


class Senders:
    """The processes that send: one for each that is being sent, kept for a while for the next one."""

    def __init__(self) -> None:
        self._idle: dict[Process, asyncio.TimerHandle] = {}

    async def send(self, parcel: Parcel) -> Went:
        """Send it; returns when the service has answered, or after 40 s."""
        if parcel.marker is not None:
            parcel.marker.parent.mkdir(mode=0o700, exist_ok=True)
            parcel.marker.unlink(missing_ok=True)
        try:
            child, is_fresh = self._rested() or (await _started(), True)
        except OSError as error:
            return Went(False, f"the program that sends could not be started: {error.strerror}")
        said = await self._asked(child, _order(parcel))
        if said == b"" and not is_fresh and (parcel.marker is None or not parcel.marker.exists()):
            return await self.send(parcel)  # it ended as it was asked, and has certainly sent nothing
        if said is None:
            return _cut_off(parcel.marker, f"no answer in {WITHIN_S:g} s")
        return _read(said) or _cut_off(parcel.marker, "the program that sends ended before it had an answer")

    def _rested(self) -> tuple[Process, bool] | None:
        while self._idle:
            child, timer = self._idle.popitem()
            timer.cancel()
            if child.returncode is None:
                return child, False
        return None

    async def _asked(self, child: Process, order: bytes) -> bytes | None:
        """What it answers; empty where it ended, None where it took too long."""
        assert child.stdin is not None and child.stdout is not None
        said: bytes | None = None
        try:
            async with asyncio.timeout(WITHIN_S):
                child.stdin.write(order)
                with contextlib.suppress(ConnectionError):
                    await child.stdin.drain()
                said = await child.stdout.readline()
        except TimeoutError:
            said = None
        finally:
            if said:
                loop = asyncio.get_running_loop()
                self._idle[child] = loop.call_later(REST_S, self._send_away, child)
            else:
                await _ended(child)
        return said

    def _send_away(self, child: Process) -> None:
        del self._idle[child]
        assert child.stdin is not None
        child.stdin.close()  # its end is the end of its work

    async def close(self) -> None:
        """End those that rest."""
        while (rested := self._rested()) is not None:
            await _ended(rested[0])


async def _started() -> Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_environment(os.environ),
        start_new_session=True,
    )


async def _ended(child: Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    await child.wait()


def _order(parcel: Parcel) -> bytes:
    marker = None if parcel.marker is None else str(parcel.marker)
    order: dict[str, Any] = {"address": parcel.address, "title": parcel.title, "body": parcel.body}
    order |= {"level": parcel.level}
    order |= {"marker": marker, "check": marker is None, "parent": os.getpid(), "push": parcel.push}
    return json.dumps(order).encode() + b"\n"


def _read(said: bytes) -> Went | None:
    try:
        told = json.loads(said)
        bad, doubt, gone = (bool(told.get(key)) for key in ("bad", "doubt", "gone"))
        return Went(bool(told["ok"]), str(told["error"]), bad, doubt, gone)
    except (ValueError, KeyError, TypeError):
        return None


def _cut_off(marker: Path | None, why: str) -> Went:
    """How a try went whose child said nothing; what it had begun, the service may have taken."""
    went = None if marker is None else left_by(marker)
    return Went(False, why) if went is None else replace(went, error=why) if went.is_in_doubt else went


def left_by(marker: Path) -> Went | None:
    """How a try went whose broker was killed; None where it certainly was not sent."""
    try:
        lines = marker.read_text().splitlines()
    except OSError:
        return None
    if not lines or lines[0] != BEGAN:
        # the last line of one that never began is its error
        return _read(lines[-1].encode()) if lines else None
    went = _read(lines[-1].encode()) if len(lines) > 1 else None
    return went or Went(False, CUT_OFF, is_in_doubt=True)

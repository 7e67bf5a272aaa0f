"""The host of shared MCP servers: a process of its own, started while there is something to host.

It is told by a file what to host, and says in another how that stands (`relay.api.tools_folder`). One that a killed
broker left behind is let be, and told the news: it has calls under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from typing import Any

from relay.api import tools_folder
from relay.api.home import Home
from relay.broker.checkup import check
from relay.core.errors import NO_ROOM, Code, LocalFault
from relay.spawn.environment import is_forbidden
from relay.spawn.shim import processes
from relay.store.offers import Share

PROGRAM = (sys.executable, "-P", "-m", "relay.mcp_server.host", "--home")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
SOUND_S = 30.0
LOOK_S, CLOSE_LOOK_S = 0.5, 0.05
END_S = 12.0
_log = logging.getLogger(__name__)


class Hosting:
    """Keeps a host running while there is something to host.

    Args:
        home: whose.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._hosted: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def open(self, shares: Sequence[Share]) -> None:
        """The broker is ready for programs; these are its shares."""
        if _hosted(shares) or tools_folder.held(self._home):
            try:
                await self.changed(shares)
            except LocalFault as fault:
                _log.error("%s: %s", fault.message, fault.why)

    async def changed(self, shares: Sequence[Share]) -> None:
        """A share was added, changed or removed; all of them, as they are now.

        Raises:
            LocalFault: their host cannot be told.
        """
        self._hosted = _hosted(shares)
        try:
            tools_folder.make(self._home)
            tools_folder.write(self._home, tools_folder.SHARES, self._hosted)
        except OSError as fault:
            raise _untold(fault) from None
        if not self._hosted:
            await self._end()
            return
        if not self._tell(signal.SIGHUP) and (self._process is None or self._process.poll() is not None):
            await self._leave_off()  # a person is waiting: no pause of one that has failed
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def close(self, for_good: bool) -> None:
        """The broker stops; `for_good` where a person asked it to, so that what it hosts is to end as well."""
        await self._leave_off()
        if for_good:
            await self._end()

    def serves(self, share: str) -> bool:
        """Whether the server of a share runs."""
        return tools_folder.held(self._home) is not None and self._standing(share).get("running") is True

    def trouble(self, share: str) -> str:
        """Why a share's tools are not served, or not all of them, as far as the host knows; empty for nothing."""
        if tools_folder.held(self._home) is None:
            return "the host of MCP servers is being started"
        return str(self._standing(share).get("reason", ""))[:2_000]

    def has_started(self, lineage: Collection[int]) -> bool:
        """Whether a process is one of a shared server, or below one.

        Args:
            lineage: its pid, and those of its ancestors.
        """
        if not self._hosted or (held := tools_folder.held(self._home)) is None or held[0] not in lineage:
            return False
        found = (processes.look_up(pid) for pid in lineage)
        return any(each is not None and each.parent == held[0] for each in found)

    def found(self) -> list[dict[str, Any]]:
        """What `relay doctor` finds."""
        names = [each["name"] for each in self._hosted]
        hint = "relay tools share NAME --mcp COMMAND, where its command is wrong; or relay tools unshare NAME"
        return [
            check(f"share {name}", self.serves(name), self.trouble(name) or "its server runs", hint) for name in names
        ]

    def _standing(self, share: str) -> dict[str, Any]:
        standing = tools_folder.read(self._home, tools_folder.STANDING)
        known = standing.get(share) if isinstance(standing, dict) else None
        return known if isinstance(known, dict) else {}

    # the process

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            if tools_folder.held(self._home) is not None:
                await asyncio.sleep(LOOK_S)  # of an earlier run of this broker
                continue
            began = time.monotonic()
            ended = await self._run()
            self._process = None
            if time.monotonic() - began > SOUND_S:
                pause = FIRST_PAUSE_S
            _log.warning("the host of MCP servers has ended (%s); again in %g s", ended, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _run(self) -> str:
        """Run a host; how it ended."""
        try:
            self._process = self._started()
        except OSError as fault:
            return f"it could not be started: {fault.strerror}"
        while True:
            await asyncio.sleep(LOOK_S)
            if (status := self._process.poll()) is not None:
                return f"exit status {status}"

    def _started(self) -> subprocess.Popen[bytes]:
        """A host. Not as a process of the loop's, which would kill it when the loop ends: it is to outlive a broker."""
        path = os.path.join(self._home.tools, tools_folder.LOG)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                [*PROGRAM, self._home.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not is_forbidden(name)},
                start_new_session=True,
            )
        finally:
            os.close(log)

    def _tell(self, number: int) -> bool:
        """Signal the host that runs; whether there is one."""
        held = tools_folder.held(self._home)
        return held is not None and processes.signal_exactly(*held, number)

    async def _end(self) -> None:
        """End the host, and with it its servers; returns when that is done."""
        await self._leave_off()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._tell(number) or self._signal_own(number):
                await self._until_gone()

    def _signal_own(self, number: int) -> bool:
        """Signal a host that has only been started, and has not taken its lock yet; whether there is one."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.send_signal(number)
        return True

    async def _until_gone(self) -> None:
        for _ in range(round(END_S / CLOSE_LOOK_S)):
            own = self._process is not None and self._process.poll() is None
            if not own and tools_folder.held(self._home) is None:
                return
            await asyncio.sleep(CLOSE_LOOK_S)

    async def _leave_off(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None


def _untold(fault: OSError) -> LocalFault:
    return LocalFault(
        "what is shared is written down, and what serves it was not told",
        code=Code.DISK_FULL if fault.errno in NO_ROOM else Code.STORE_FAULT,
        why=str(fault),
        hint="relay doctor; it is told with the next change of what is shared, or as the broker starts",
    )


def _hosted(shares: Sequence[Share]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "command": list(each.command), "only": list(each.chosen), "env": each.env}
        for each in sorted(shares, key=lambda share: share.created)  # of two with one tool the first has it
        if each.command is not None
    ]

"""One share: its server is started, and again with ever longer pauses when it ends; its tools are run over it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from relay.api import config as configuration
from relay.api.home import Home
from relay.core import offers
from relay.core.errors import Code, LocalFault, RelayError
from relay.mcp_server.host import pipes
from relay.mcp_server.host.log import ServerLog
from relay.mcp_server.host.results import THERE
from relay.mcp_server.host.server import MOST_TOOLS, Server, ServerFault, greeted, how_it_ended
from relay.spawn.environment import ALWAYS, DEFAULT_PATH, is_forbidden

if TYPE_CHECKING:
    from mcp.shared.dispatcher import ProgressFnT

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
SOUND_S = 30.0
"""A server that lived for so long has not failed to start."""
CALM_S, FIRST_REST_S, LONGEST_REST_S = 10.0, 0.1, 5.0
"""Tools that change again so soon are looked at ever more seldom: a server may say so with each answer."""
CALL_WAITS_S = 60.0
FAILS_BEFORE_CALLS_DO = 2
"""A server that has failed so often in a row has no calls wait for it."""
JSON = dict[str, Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a share is to be.

    Attributes:
        name: of the share.
        command: its server's program and arguments.
        only: the tools that are offered; empty for all.
        env: what its server has in its environment beside what a task has. Secrets, and not shown.
    """

    name: str
    command: tuple[str, ...]
    only: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def is_server_of(self, other: Wanted) -> bool:
        """Whether the server of the one is that of the other, whichever of its tools are chosen."""
        return (self.command, self.env) == (other.command, other.env)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a share stands.

    Attributes:
        offers: its tools, in the order of its server; as `POST programs` has them. A server that is away has those that
            it had: who looks elsewhere is not to see tools come and go with each restart.
        running: whether its server runs.
        reason: why it does not, or why not all of its tools are offered; empty where all is well.
    """

    offers: tuple[JSON, ...] = ()
    running: bool = False
    reason: str = "its server is starting"


class Share:
    """One share, from `open` to `close`.

    Args:
        wanted: what.
        home: whose.
        offers: what it offered when it last ran.
        changed: called when its standing is another.

    Attributes:
        standing: how it stands.
    """

    def __init__(self, wanted: Wanted, home: Home, offers: tuple[JSON, ...], changed: Callable[[], None]) -> None:
        self.wanted = wanted
        self.standing = Standing(offers)
        self._home = home
        self._changed = changed
        self._log = ServerLog(os.path.join(home.tools, f"{wanted.name}.log"))
        self._server: Server | None = None
        self._up = asyncio.Event()
        self._relist = asyncio.Event()
        self._failures = 0
        self._gone = False
        self._listed, self._rest = time.monotonic(), 0.0
        self._life: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin, where it has not begun."""
        if self._life is None:
            self._life = asyncio.get_running_loop().create_task(self._live())

    def choose(self, wanted: Wanted) -> None:
        """Offer other tools of the same server: what is chosen no more at once, what is new when it has listed them."""
        if wanted == self.wanted:
            return
        self.wanted = wanted
        self._set(replace(self.standing, offers=chosen(wanted, self.standing.offers)))
        self._relist.set()

    async def close(self) -> None:
        """End the server; returns when nothing of it is left. What waits for it is told so."""
        self._gone = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
        self._up.set()

    async def call(self, tool: str, arguments: JSON, began: Callable[[], None], tell: ProgressFnT) -> JSON:
        """Run one of its tools.

        Args:
            tool: which.
            arguments: for it.
            began: called when the server is about to get it.
            tell: told of progress.

        Returns:
            What the server gave, as it gave it.

        Raises:
            RelayError: it has no result.
        """
        server = await self._running()
        began()
        return await server.call(tool, arguments, tell)

    async def _running(self) -> Server:
        if self._failures < FAILS_BEFORE_CALLS_DO:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALL_WAITS_S):
                    await self._up.wait()
        if self._server is None:
            reason = "it is shared no more" if self._gone else self.standing.reason or "it ended"
            why = f"{reason}; nothing was done"
            raise ServerFault("the tool's server is not running", code=Code.TOOL_SERVER_DOWN, why=why, hint=THERE)
        return self._server

    # its life

    async def _live(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                reason = await self._run()
            except RelayError as error:
                reason = ": ".join(filter(None, (error.message, error.why)))
            except Exception as fault:
                _log.exception("share %s", self.wanted.name)
                reason = f"something in relay itself went wrong: {type(fault).__name__}"
            if time.monotonic() - began > SOUND_S:
                pause = FIRST_PAUSE_S
            self._failures += 1
            said = self._log.last_line()
            self._fell(f"{reason}; it said: {said}" if said else reason)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _run(self) -> str:
        """One run of the server; how it ended."""
        self._log.begin()
        process = await self._started()
        try:
            async with greeted(process, self._relist.set) as server:
                await self._stand(server)
                self._server = server
                self._failures = 0
                self._up.set()
                await self._until_ended(server, process)
        finally:
            self._server = None
            self._up.clear()
            await process.close()
        return f"its server ended: {process.fault or how_it_ended(process.status)}"

    async def _started(self) -> pipes.Pipes:
        environment = self._environment()
        program = self.wanted.command[0]
        if shutil.which(program, path=environment["PATH"]) is None:
            where = "" if "/" in program else f" in the PATH of this broker, {environment['PATH']}"
            raise LocalFault(f"there is no program {program}{where}", code=Code.MISSING_BINARY, hint=THERE)
        try:
            return await pipes.started(self.wanted.command, environment, self._home.path, self._log)
        except OSError as fault:
            what, code = "its server could not be started", Code.LAUNCH_FAILED
            raise LocalFault(what, code=code, why=str(fault), hint=THERE) from None

    def _environment(self) -> dict[str, str]:
        """What a task has of the broker's environment, and what the share was given besides."""
        own, allowed = os.environ, configuration.load(self._home).env
        kept = {name: own[name] for name in (*ALWAYS, *allowed) if name in own and not is_forbidden(name)}
        kept.setdefault("PATH", DEFAULT_PATH)
        return kept | dict(self.wanted.env)

    async def _until_ended(self, server: Server, process: pipes.Pipes) -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_task(process.ended())
        closed = loop.create_task(process.closed.wait())
        try:
            while not (ended.done() or closed.done()):
                changed = loop.create_task(self._relist.wait())
                await asyncio.wait([ended, closed, changed], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if self._relist.is_set() and not ended.done():
                    await asyncio.wait([ended, closed], timeout=self._rest_before_looking())
                    await self._stand(server)
        finally:
            ended.cancel()
            closed.cancel()

    def _rest_before_looking(self) -> float:
        is_calm = time.monotonic() - self._listed > CALM_S
        self._rest = 0.0 if is_calm else min(max(2 * self._rest, FIRST_REST_S), LONGEST_REST_S)
        return self._rest

    # how it stands

    async def _stand(self, server: Server) -> None:
        self._relist.clear()
        self._listed = time.monotonic()
        listed = await server.tools()
        offered, left_out = _offered(self.wanted, listed, server.left_out)
        if left_out and left_out != self.standing.reason:
            _log.warning("share %s: %s", self.wanted.name, left_out)
        self._set(Standing(offered, running=True, reason=left_out))

    def _fell(self, reason: str) -> None:
        _log.warning("share %s: %s", self.wanted.name, reason)
        self._set(replace(self.standing, running=False, reason=reason))

    def _set(self, standing: Standing) -> None:
        if standing != self.standing:
            self.standing = standing
            self._changed()


def chosen(wanted: Wanted, offered: tuple[JSON, ...]) -> tuple[JSON, ...]:
    """Those of the offers that are wanted."""
    return tuple(each for each in offered if not wanted.only or each["name"] in wanted.only)


def _offered(wanted: Wanted, listed: list[JSON], no_tools: dict[str, str]) -> tuple[tuple[JSON, ...], str]:
    """What of a server's tools is offered, and why not all of it is; `no_tools` are none by the protocol."""
    found: dict[str, JSON] = {}
    wrong = {name: why for name, why in no_tools.items() if not wanted.only or name in wanted.only}
    left_out = [f"{name} (it is no tool by the protocol: {why})" for name, why in wrong.items()]
    for definition in listed:
        name = definition.get("name")
        if wanted.only and name not in wanted.only:
            continue
        offer = {"name": name, "definition": definition, "share": wanted.name}
        try:
            offers.read_offer(offer, "mcp")
        except RelayError as error:
            left_out.append(f"{str(name)[:64]} ({error.why})")
            continue
        if len(found) < MOST_TOOLS:
            found.setdefault(str(name), offer)
        elif name not in found:
            left_out.append(f"{name} (there are more than {MOST_TOOLS})")
    known = found.keys() | wrong.keys()
    missing = [f"{name} (its server has no such tool)" for name in wanted.only if name not in known]
    return tuple(found.values()), f"not offered: {', '.join(missing + left_out)}" if missing + left_out else ""

"""The broker's end of the fork server: start it, ask it for shims, start it again when it died.

A launch is never sent twice. If its answer was lost, the folder tells what became of it (`recovery`): either its
shim made its promise, or the attempt is fenced and the caller queues the next one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.core.errors import Code, LocalFault, Misuse
from relay.core.values import frozen
from relay.spawn.attempt import Attempt
from relay.spawn.recovery import settle
from relay.spawn.shim import spec as wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.spawn.watch import Watcher

DEFAULT_LOG_LIMIT = 256 << 20
SILENT_S = 60.0
"""How long a launch may go unanswered: what stopped the fork server would else stop all that is to start."""
_log = logging.getLogger(__name__)
_ANSWER = struct.Struct("!I")
_ENVIRONMENT = {"PATH": os.defpath, "LD_BIND_NOW": "1"}
"""The fork server's. Bound late, each shim and each task would look the same symbols up again: 30 pages copied."""
_ENTRY = Path(__file__).parent / "shim" / "serve.py"


class BadLaunch(Misuse):
    """A launch that can never work: a NUL byte, an empty command, a relative folder."""

    default_code = Code.BAD_TASK


_ON_IT = "on the machine that runs it: relay doctor"


class LaunchRefused(LocalFault):
    """The fork server could make no process; the attempt has not started and may be launched again."""

    default_code = Code.LAUNCH_FAILED


class LaunchFenced(LocalFault):
    """The fork server died before the attempt was promised; it is fenced now and the next one may be queued."""

    default_code = Code.LAUNCH_FAILED


@frozen
class LaunchSpec:
    """What to run in a prepared attempt folder.

    Attributes:
        folder: the attempt folder, absolute; its name is the mark in the task's environment.
        argv: the command, `argv[0]` looked up in the PATH of `env`.
        env: the whole environment; PWD and RELAY_ATTEMPT are added.
        cwd: where it runs, absolute.
        stdin: what it reads before end of file; None is /dev/null.
        timeout_s: awake time it may take, seconds; None for ever.
        stop_signal: the agent's own way to stop, sent to its process group.
        stop_grace_s: how long that may take before TERM, seconds; at most 2.5 are given.
        log_limit: bytes that the log may have; a longer one loses of its middle (`shim/segments.py`).
        door: its input stays open and is fed through `door`; `stdin` comes first.
        terminal: rows and columns of the terminal that it gets, or None; it has a door then.
        memory: bytes that its tree may use, None for no limit.
        cpus: processors that its tree may use, None for no limit.
        keep_awake: the machine is kept from sleeping while it runs.

    Raises:
        BadLaunch: where no system could launch this.
    """

    folder: Path
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stdin: bytes | None = None
    timeout_s: float | None = None
    stop_signal: int = signal.SIGINT
    stop_grace_s: float = 2.0
    log_limit: int = DEFAULT_LOG_LIMIT
    door: bool = False
    terminal: tuple[int, int] | None = None
    memory: int | None = None
    cpus: float | None = None
    keep_awake: bool = False

    def __post_init__(self) -> None:
        fault = wire.Spec(**self._fields(0)).fault()
        if fault:
            raise BadLaunch(f"this cannot be launched: {fault}", hint="relay spawn --help")

    def packed(self, serial: int) -> bytes:
        """The wire form, answered under `serial`."""
        return wire.pack(self._fields(serial), self.stdin or b"")

    def _fields(self, serial: int) -> dict[str, Any]:
        return {
            "serial": serial,
            "folder": str(self.folder),
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "timeout_s": self.timeout_s,
            "stop_signal": int(self.stop_signal),
            "stop_grace_s": self.stop_grace_s,
            "log_limit": self.log_limit,
            "has_stdin": self.stdin is not None,
            **self._wishes(),
            "door": self.door or self.terminal is not None,
            "terminal": None if self.terminal is None else list(self.terminal),
        }

    def _wishes(self) -> dict[str, Any]:
        """Fields that most launches do not have; a fork server that does not know them must not run the task."""
        wishes: dict[str, Any] = {}
        limits = {"memory": self.memory, "cpus": self.cpus}
        if any(limits.values()):
            runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
            wishes["limits"] = {name: value for name, value in limits.items() if value} | {"runtime": runtime}
        if self.keep_awake:
            wishes["keep_awake"] = True
        return wishes | {"needs": list(wishes)} if wishes else wishes


class _AnswerLost(Exception):
    """The fork server died between a launch and its answer."""


class _Server(asyncio.Protocol):
    """One running fork server. A protocol, not streams: an answer is there in the turn that reads it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.live: int | None = None
        self.gone = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self.gone.is_set()

    async def ask(self, serial: int, message: bytes) -> dict[str, Any]:
        assert self._transport
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = answer
        try:
            self._transport.write(message)
            return await answer
        finally:
            self._waiting.pop(serial, None)

    def leave(self) -> None:
        """Tell the server that nothing more will be asked; it answers how many shims it has, and closes."""
        assert self._transport
        self._transport.write_eof()

    def end(self) -> None:
        """End one that says nothing; its shims go on, and what it was asked for last is settled as after any death."""
        if not self.gone.is_set():
            _log.error("the fork server, pid %d, has said nothing for %g s: it is replaced", self.pid, SILENT_S)
            os.kill(self.pid, signal.SIGKILL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (answer := _take_answer(self._buffer)) is not None:
            self._hand_out(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_AnswerLost())

    def _hand_out(self, answer: dict[str, Any]) -> None:
        if "live" in answer:
            self.live = answer["live"]
        waiting = self._waiting.get(answer["serial"])
        if waiting and not waiting.done():
            waiting.set_result(answer)


class Launcher:
    """Launches shims through a fork server, which is replaced when it dies.

    Args:
        watcher: the process's watcher.
        errors: a file for what the fork server and the shims say on stderr (nothing, unless they crash).
    """

    def __init__(self, watcher: Watcher, errors: Path | None = None) -> None:
        self._watcher = watcher
        self._errors = errors
        self._serials = count(1)
        self._server: _Server | None = None
        self._starting = asyncio.Lock()

    @property
    def server_pid(self) -> int | None:
        """The running fork server's pid."""
        return self._server.pid if self._server and self._server.usable else None

    async def start(self) -> None:
        """Start the fork server if none is running; best done before keys are in memory.

        Raises:
            LaunchRefused: where the system has no process for it.
        """
        await self._usable()

    async def launch(self, spec: LaunchSpec) -> int:
        """Have a shim forked for a prepared attempt.

        Returns:
            The shim's pid. Whether the task starts is for `Attempt.observe` to tell.

        Raises:
            LaunchRefused: nothing was started, for want of processes.
            LaunchFenced: the fork server died meanwhile and nothing was or will be started in this attempt.
        """
        server = await self._usable()
        serial = next(self._serials)
        silent = asyncio.get_running_loop().call_later(SILENT_S, server.end)
        try:
            answer = await server.ask(serial, spec.packed(serial))
        except _AnswerLost:
            return await self._resolve(spec.folder)
        finally:
            silent.cancel()
        if "refused" in answer:
            raise LaunchRefused(f"the task was not started: {answer['refused']}", hint=_ON_IT)
        return int(answer["pid"])

    async def close(self) -> None:
        """Part from the fork server. It leaves at once, or when its last shim is done."""
        server, self._server = self._server, None
        if server is None:
            return
        if server.usable:
            server.leave()
        await server.gone.wait()
        # One that stays for its shims is nobody's to wait for: it outlives the broker.
        if not server.live:
            await _bury(server)

    async def _resolve(self, folder: Path) -> int:
        with self._watcher.folder(folder) as changes:
            await settle(folder, changes)
        intent = Attempt(folder).read().intent
        if intent is None:
            raise LaunchFenced(f"the fork server died before {folder.name} was promised; it was fenced", hint=_ON_IT)
        return intent.shim

    async def _usable(self) -> _Server:
        async with self._starting:
            if self._server is None or not self._server.usable:
                if self._server:
                    await _bury(self._server)
                self._server = await self._spawn()
            return self._server

    async def _spawn(self) -> _Server:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = await asyncio.to_thread(_exec_server, theirs.fileno(), self._errors)
            except OSError as fault:
                ours.close()
                raise LaunchRefused("the fork server could not be started", why=str(fault), hint=_ON_IT) from fault
        _, server = await asyncio.get_running_loop().create_unix_connection(lambda: _Server(pid), sock=ours)
        return server


def _take_answer(buffer: bytearray) -> dict[str, Any] | None:
    """Take the first whole answer off `buffer`; None where more bytes must come first."""
    if len(buffer) < _ANSWER.size:
        return None
    end = _ANSWER.size + _ANSWER.unpack_from(buffer)[0]
    if len(buffer) < end:
        return None
    answer: dict[str, Any] = json.loads(buffer[_ANSWER.size : end])
    del buffer[:end]
    return answer


def _exec_server(control: int, errors: Path | None) -> int:
    """Start the fork server by exec, with next to no environment: what it has, every shim has."""
    stderr = str(errors) if errors else os.devnull
    actions = [
        (os.POSIX_SPAWN_DUP2, control, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
    ]
    command = [sys.executable, "-I", "-S", str(_ENTRY)]
    # What a parent of ours ignored (nohup) would otherwise be ignored by every task.
    default = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return os.posix_spawn(
        sys.executable,
        command,
        _ENVIRONMENT,
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=default,
    )


async def _bury(server: _Server) -> None:
    await asyncio.to_thread(_wait_for, server.pid)


def _wait_for(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return

"""The broker's end of the fork server: start it, ask it for shims, start it again when it died.

A launch is never sent twice. If its answer was lost, the folder tells what became of it (`recovery`): either its
shim made its promise, or the attempt is fenced and the caller queues the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import struct
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.core.errors import Code, LocalFault
from relay.core.values import frozen
from relay.spawn.attempt import Attempt
from relay.spawn.recovery import settle

if TYPE_CHECKING:
    from relay.spawn.launching import LaunchSpec
    from relay.spawn.watch import Watcher

SILENT_S = 60.0
"""How long a launch may go unanswered: what stopped the fork server would else stop all that is to start."""
PATIENCE_S, AGAIN_S = 10.0, 0.25
"""For how long, and how often, a launch is asked for again where there is no process to be had: all that waits would
else fail in the same moment."""
_log = logging.getLogger(__name__)
_ANSWER = struct.Struct("!I")
_ENVIRONMENT = {"PATH": os.defpath, "LD_BIND_NOW": "1"}
"""The fork server's. Bound late, each shim and each task would look the same symbols up again: 30 pages copied."""
_ENTRY = Path(__file__).parent / "shim" / "serve.py"


_ON_IT = "on the machine that runs it: relay doctor"


class LaunchRefused(LocalFault):
    """The fork server could make no process; the attempt has not started and may be launched again."""

    default_code = Code.LAUNCH_FAILED


class NoProcess(LaunchRefused):
    """The same, for a want that may pass."""


class LaunchFenced(LocalFault):
    """The fork server died before the attempt was promised; it is fenced now and the next one may be queued."""

    default_code = Code.LAUNCH_FAILED


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

    def ask(self, serial: int, message: bytes) -> asyncio.Future[dict[str, Any]]:
        assert self._transport
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = answer
        self._transport.write(message)
        return answer

    def forget(self, serial: int) -> None:
        self._waiting.pop(serial, None)

    def leave(self) -> None:
        """Tell the server that nothing more will be asked; it answers how many shims it has, and closes."""
        assert self._transport
        self._transport.write_eof()
        if not self.gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)  # a task of its may have stopped it: it would never leave

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


@frozen
class Asked:
    """A shim that was asked for."""

    folder: Path
    server: _Server
    serial: int
    answer: asyncio.Future[dict[str, Any]]


class Launcher:
    """Launches shims through a fork server, which is replaced when it dies.

    Args:
        watcher: the process's watcher.
        errors: a file for what the fork server and the shims say on stderr (nothing, unless they crash).

    Tasks may have as many files open as this process may when this is made: a broker allows itself more later.
    """

    def __init__(self, watcher: Watcher, errors: Path | None = None) -> None:
        self._watcher = watcher
        self._errors = errors
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
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
            LaunchRefused: nothing was started, for want of processes, though it was asked for again and again.
            LaunchFenced: the fork server died meanwhile and nothing was or will be started in this attempt.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await self.shim_of(await self.ask(spec))
            except NoProcess:
                if time.monotonic() >= deadline or Attempt(spec.folder).read().stopping:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def ask(self, spec: LaunchSpec) -> Asked:
        """Ask for a shim; for its pid `shim_of` waits.

        Raises:
            LaunchRefused: nothing was asked for, for want of processes.
        """
        server = await self._usable()
        serial = next(self._serials)
        return Asked(spec.folder, server, serial, server.ask(serial, spec.packed(serial)))

    async def shim_of(self, asked: Asked) -> int:
        """The pid of the shim that was asked for; returns, and raises, as `launch`."""
        silent = asyncio.get_running_loop().call_later(SILENT_S, asked.server.end)
        try:
            answer = await asked.answer
        except _AnswerLost:
            return await self._resolve(asked.folder)
        finally:
            silent.cancel()
            asked.server.forget(asked.serial)
        if "refused" in answer:
            kind = NoProcess if answer.get("passes") else LaunchRefused
            raise kind(f"the task was not started: {answer['refused']}", hint=_ON_IT)
        return int(answer["pid"])

    def forget(self, asked: Asked) -> None:
        """Nobody waits for this shim."""
        asked.answer.cancel()
        asked.server.forget(asked.serial)

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
                # not on a thread: where none can be made this would stay to be done, by whichever comes later, with a
                # descriptor that is another one's by then
                pid = _exec_server(theirs.fileno(), self._errors, self._files)
            except OSError as fault:
                ours.close()
                raise NoProcess("the fork server could not be started", why=str(fault), hint=_ON_IT) from fault
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


def _exec_server(control: int, errors: Path | None, files: int) -> int:
    """Start the fork server by exec, with next to no environment: what it has, every shim has."""
    stderr = str(errors) if errors else os.devnull
    actions = [
        (os.POSIX_SPAWN_DUP2, control, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
    ]
    command = [sys.executable, "-I", "-S", str(_ENTRY), str(files)]
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

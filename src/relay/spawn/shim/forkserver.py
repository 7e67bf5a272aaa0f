"""The fork server: takes launches from the broker, forks a shim for each, reaps them.

Single-threaded, started by exec before the broker had keys or a store in memory. It is a subreaper above
the shims: what a killed shim leaves behind lands here and is killed at once, broker or no broker. When the
broker is gone it stays as long as a shim lives.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys

from . import crew, direct_task, kernel, processes, spec, tree
from .cgroups import Kills
from .wakeup import Wakeup, catch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_ANSWER = struct.Struct("!I")
_CHUNK = 1 << 20
_SHIM_FAULT = 70
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_AGAIN_MS = 100
_CAUGHT = (
    *(signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
    *(signal.SIGPIPE, signal.SIGXFSZ),
)
"""What the fork server and its shims live through, and what Python ignores: no task may inherit that.

A task may say that it is ready by a signal to its parent, which is the shim here.
"""


def main() -> None:
    """Serve the control socket that stands on descriptor 0, then leave."""
    _have_files(sys.argv[1:])
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.chdir("/")
    kernel.adopt_orphans()
    kernel.set_title("relay-forks")
    control = _take_control()
    # A terminal's signals are the broker's; TERM comes from service managers and must not orphan the shims.
    catch(_CAUGHT)
    # Once, for all shims.
    processes.boot_id()
    direct_task.is_there()
    gc.freeze()
    gc.disable()
    Server(control).serve()


def _have_files(asked: list[str]) -> None:
    """Have as many files as tasks may have open. A broker has more, and so would one that is started by it later."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for files in asked[:1]:  # a broker of an earlier version says nothing of it
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), hard))
        except ValueError:  # somebody has lowered what the broker may have
            return


def _take_control() -> socket.socket:
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    # Whatever the broker was given, or a library of it left open, without close-on-exec ends here: no task has it.
    os.closerange(3, control.fileno())
    os.closerange(control.fileno() + 1, 65536)
    return control


class Server:
    """The loop, the shims it has, and the bytes of launches that are not whole yet."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._buffer = bytearray()
        # Opened once, read by each shim: all are in one group.
        self._kills = Kills(os.getpid())
        self._wakeup = Wakeup()
        self._poll = select.poll()
        self._poll.register(self._wakeup.fd, select.POLLIN)
        self._poll.register(control, select.POLLIN)
        self._crew = crew.Crew(self._poll)
        self._leaves_strays = False  # a shim has ended that may have
        self._childless = False
        self._stays = False  # for strays: a broker that leaves waits for a server that does not

    def serve(self) -> None:
        """Until the broker is gone and no shim is left, nor anything that it was told stays."""
        control = -1 if self._control is None else self._control.fileno()
        while self._control or self._crew or (self._stays and self._leaves_strays):
            is_asked = False
            for fd, _ in self._poll.poll(_AGAIN_MS if self._leaves_strays else self._crew.pause_ms()):
                if fd == self._wakeup.fd:
                    self._wakeup.take()
                elif fd == control and self._control:
                    is_asked = True
                else:
                    self._crew.hear(fd)
            if is_asked and self._control:  # last: who said before it that it is free is given what is asked for
                self._take_in(self._control)
            self._crew.tend()
            # Not for SIGCHLD alone: a tracer that detaches can swallow one (seen with strace 6).
            self._reap()

    def _take_in(self, control: socket.socket) -> None:
        try:
            data = control.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            self._broker_gone(control)
            return
        self._buffer += data
        while (length := spec.length(self._buffer)) is not None:
            packed = bytes(self._buffer[:length])
            launch = spec.unpack(self._buffer)
            assert launch is not None
            self._answer(control, f'{{"serial":{launch.serial},{self._launch(launch, packed)}}}')

    def _broker_gone(self, control: socket.socket) -> None:
        self._reap()  # a shim that was killed just now counts too
        self._stays = self._leaves_strays
        self._answer(control, f'{{"serial":0,"live":{self._crew.at_work + self._stays}}}')
        self._crew.disband()
        self._poll.unregister(control)
        control.close()
        self._control = None

    def _answer(self, control: socket.socket, fields: str) -> None:
        payload = fields.encode()
        try:
            control.sendall(_ANSWER.pack(len(payload)) + payload)
        except ConnectionError:
            # The next read finds it closed; the launch is in its folder for who comes after.
            return

    def _launch(self, launch: spec.Spec, packed: bytes) -> str:
        """Give it to a shim that is free, or fork one; the fields of the answer, as JSON."""
        fault = launch.fault()
        if fault:
            return _refusal(fault)
        pid = self._crew.give(packed, launch.folder)
        if pid is None:
            try:
                pid = self._fork(launch)
            except OSError as failure:
                return _refusal(f"no process can be made: {failure.strerror}") + ',"passes":true'
        return f'"pid":{pid}'

    def _fork(self, launch: spec.Spec) -> int:
        ours, theirs = crew.pair()
        try:
            pid = os.fork()
        except OSError:
            os.close(ours)
            os.close(theirs)
            raise
        if pid == 0:
            os.close(ours)
            self._become_shim(launch, theirs)
        os.close(theirs)
        self._crew.add(pid, ours, launch.folder)
        return pid

    def _become_shim(self, launch: spec.Spec, line: int) -> NoReturn:
        status = _SHIM_FAULT
        try:
            wakeup = Wakeup()
            self._wakeup.close()
            if self._control:
                # Not the object's own way to close, which is three calls deep; nobody uses the object again.
                os.close(self._control.fileno())
            self._crew.forget()
            self._buffer.clear()
            status = crew.work(launch, line, wakeup, self._kills)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        self._leaves_strays |= self._collect()
        if not self._leaves_strays or self._childless:
            self._leaves_strays = False
            return
        try:
            self._kill_strays()
        except OSError as failure:  # without a file nothing can be read of processes: soon again
            if failure.errno not in _SHORT:
                raise
        else:
            self._leaves_strays = False

    def _collect(self) -> bool:
        """Take in who has ended; whether a shim among them left something undone."""
        undone = False
        self._childless = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = kernel.ADOPTS  # which proves that nothing is left
                return undone
            if pid == 0:
                return undone
            if self._crew.gone(pid):
                undone |= bool(status)

    def _kill_strays(self) -> None:
        """Kill what an unfinished shim left: shims adopt orphans, so any other child of ours is such."""
        while strays := self._strays():
            tree.signal_all(strays, signal.SIGKILL)
            if not self._some_died(strays):
                return
        if kernel.ADOPTS:
            tree.hunt(self._collect, self._crew.pids)

    def _strays(self) -> list[processes.Process]:
        table = processes.table()
        mine = {pid for pid, process in table.items() if process.parent == os.getpid()} - self._crew.pids
        pids = mine | processes.descendants(table, mine)
        return [table[pid] for pid in pids if table[pid].alive]

    def _some_died(self, strays: list[processes.Process]) -> bool:
        # One in an uninterruptible call must not keep the server from others: it gets 0.2 s.
        for _ in range(20):
            if not any(processes.same(stray.pid, stray.ticks) for stray in strays):
                return True
            select.select([], [], [], 0.01)
        return False


def _refusal(why: str) -> str:
    return f'"refused":{json.dumps(why)}'

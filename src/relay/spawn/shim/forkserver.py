"""The fork server: takes launches from the broker, forks a shim for each, reaps them.

Single-threaded, started by exec before the broker had keys or a store in memory. It is a subreaper above
the shims: what a killed shim leaves behind lands here and is killed at once, broker or no broker. When the
broker is gone it stays as long as a shim lives.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import struct

from . import kernel, processes, run, spec, tree
from .task import IGNORED
from .wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_ANSWER = struct.Struct("!I")
_CHUNK = 1 << 20
_SHIM_FAULT = 70


def main() -> None:
    """Serve the control socket that stands on descriptor 0, then leave."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.chdir("/")
    kernel.adopt_orphans()
    kernel.set_title("relay-forks")
    control = _take_control()
    # A terminal's signals are the broker's; TERM comes from service managers and must not orphan the shims.
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    # Read once, for all shims.
    processes.boot_id()
    gc.freeze()
    gc.disable()
    Server(control).serve()


def _take_control() -> socket.socket:
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    # Whatever a library of the broker left open without close-on-exec ends here.
    os.closerange(max(null, control.fileno()) + 1, 65536)
    return control


class Server:
    """The loop, the shims it has, and the bytes of launches that are not whole yet."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._buffer = bytearray()
        self._shims: set[int] = set()
        self._wakeup = Wakeup(signal.SIGCHLD)
        self._poll = select.poll()
        self._poll.register(self._wakeup.fd, select.POLLIN)
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Until the broker is gone and no shim is left."""
        while self._control or self._shims:
            for fd, _ in self._poll.poll():
                if fd == self._wakeup.fd:
                    self._wakeup.take()
                elif self._control:
                    self._take_in(self._control)
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
        while (launch := spec.unpack(self._buffer)) is not None:
            self._answer(control, {"serial": launch.serial, **self._launch(launch)})

    def _broker_gone(self, control: socket.socket) -> None:
        self._answer(control, {"serial": 0, "live": len(self._shims)})
        self._poll.unregister(control)
        control.close()
        self._control = None

    def _answer(self, control: socket.socket, fields: dict[str, object]) -> None:
        payload = json.dumps(fields).encode()
        try:
            control.sendall(_ANSWER.pack(len(payload)) + payload)
        except ConnectionError:
            # The next read finds it closed; the launch is in its folder for who comes after.
            return

    def _launch(self, launch: spec.Spec) -> dict[str, object]:
        fault = launch.fault()
        if fault:
            return {"refused": fault}
        try:
            pid = os.fork()
        except OSError as failure:
            return {"refused": f"no process can be made: {failure.strerror}"}
        if pid == 0:
            self._become_shim(launch)
        self._shims.add(pid)
        return {"pid": pid}

    def _become_shim(self, launch: spec.Spec) -> NoReturn:
        status = _SHIM_FAULT
        try:
            self._wakeup.close()
            if self._control:
                self._control.close()
            status = run.run(launch)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._shims:
                self._shims.discard(pid)
                if status:
                    self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill what an unfinished shim left: shims adopt orphans, so any other child of ours is such."""
        while strays := self._strays():
            tree.signal_all(strays, signal.SIGKILL)
            if not self._some_died(strays):
                return

    def _strays(self) -> list[processes.Process]:
        table = processes.table()
        mine = {pid for pid, process in table.items() if process.parent == os.getpid()} - self._shims
        pids = mine | processes.descendants(table, mine)
        return [table[pid] for pid in pids if table[pid].alive]

    def _some_died(self, strays: list[processes.Process]) -> bool:
        # One in an uninterruptible call must not keep the server from others: it gets 0.2 s.
        for _ in range(20):
            if not any(processes.same(stray.pid, stray.ticks) for stray in strays):
                return True
            select.select([], [], [], 0.01)
        return False

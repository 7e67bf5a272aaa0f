"""Keeps one MCP server: `python -I keeper.py LIFELINE COMMAND…`, in the server's own environment.

Nothing of the server's tree outlives it. It ends the tree when the server has ended, and when the other end of the
lifeline is closed, which a killed host does too. Where this process itself is killed, the kernel ends the server.
The standard library alone, so that one costs little.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

if __name__ == "__main__":
    # Appended, not inserted: what stands beside us must never shadow a standard module. Nothing of the environment
    # is heeded (-I): it is the server's.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

from relay.spawn.shim import kernel, processes, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

RUN, OF = "RELAY_SHARE_RUN", "RELAY_SHARE_OF"
"""What each process of a server has in its environment: one run's own mark, and the home that shares it."""
TERM_S, KILL_S = 1.5, 2.0
LOOK_S = 0.02
NOT_FOUND, NOT_EXECUTABLE = 127, 126


class _Kept:
    """The server as this process's child."""

    def __init__(self, pid: int, wakeup: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self._wakeup = wakeup

    def reap(self) -> None:
        """Take in all children that have ended; orphans of the tree are among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)

    def wait(self, lifeline: int) -> None:
        """Return when the server has ended, or the host has gone or said so."""
        while self.status is None:
            ready, _, _ = select.select([lifeline, self._wakeup], [], [])
            if self._wakeup in ready:
                os.read(self._wakeup, 4096)
            self.reap()
            if lifeline in ready:
                return

    def end_all(self) -> None:
        """End what is left of the tree: TERM, and KILL for what does not listen."""
        mark = f"{RUN}={os.environ.get(RUN, '')}".encode()
        for number, seconds in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            deadline = time.monotonic() + seconds
            tree.signal_all(left := tree.members(mark, self.pid), number)
            while left and time.monotonic() < deadline:
                self.reap()
                if number == signal.SIGKILL:
                    tree.hunt(self.reap)
                    tree.signal_all(left, number)
                time.sleep(LOOK_S)
                left = tree.members(mark, self.pid)
            self.reap()


def _become(command: list[str]) -> NoReturn:
    """In the child: be the server."""
    parent = os.getppid()
    os.setsid()
    kernel.die_with_parent()
    if os.getppid() != parent:
        os._exit(NOT_EXECUTABLE)  # it died before the kernel was told
    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, 256)
    try:
        os.execvpe(command[0], command, os.environ)  # noqa: S606 - what this machine's person shared
    except OSError as fault:
        os.write(2, f"{command[0]}: {fault.strerror}\n".encode())
        os._exit(NOT_FOUND if isinstance(fault, FileNotFoundError) else NOT_EXECUTABLE)


def _leave_pipes() -> None:
    """The server's pipes are the server's: held here as well they would never end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)


def main(words: list[str]) -> int:
    """Keep the server; its exit status, as a shell has it."""
    lifeline, command = int(words[0]), words[1:]
    os.set_inheritable(lifeline, False)
    kernel.adopt_orphans()
    kernel.set_title("relay-tools")
    wakeup, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    pid = os.fork()
    if pid == 0:
        _become(command)
    _leave_pipes()
    kept = _Kept(pid, wakeup)
    kept.wait(lifeline)
    kept.end_all()
    return 0 if kept.status is None else kept.status if kept.status >= 0 else 128 - kept.status


def sweep(folder: str) -> int:
    """End what an earlier host of a home left behind, where it and its keepers were killed; how many processes.

    Only for who holds the lock of that home's host.
    """
    table = processes.table()
    found = processes.carriers(table.keys() - {os.getpid()}, f"{OF}={folder}".encode())
    tree.signal_all([table[pid] for pid in found], signal.SIGKILL)
    return len(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

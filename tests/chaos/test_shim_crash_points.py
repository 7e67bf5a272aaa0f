"""A shim that dies at any of its syncs ends its task, and the task is `lost` or rightly told."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.tickets import Ticket
from relay.testing.trial import TERMINAL

if TYPE_CHECKING:
    import psutil

_STRACE = shutil.which("strace")
_SYNCS = range(1, 4)  # its promise, and its exit where the broker is slow; the third shows that these are all
_ATTACHED_WITHIN = 10.0


def _is_traced(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as status:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status)


@contextmanager
def _dying_at_sync(pid: int, nth: int) -> Iterator[None]:
    """Every process that `pid` forks is killed at its n-th fdatasync, for the length of a block."""
    injection = f"inject=fdatasync:signal=SIGKILL:when={nth}"
    words = [str(_STRACE), "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", "trace=fdatasync", "-e", injection]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        try:
            processes.wait_until(
                lambda: _is_traced(pid) or tracer.poll() is not None, _ATTACHED_WITHIN, "strace to be attached"
            )
        finally:
            if tracer.poll() is not None:
                pytest.skip(f"strace may not trace here: {tracer.communicate()[1].decode()}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=10)


def _end_free_shims(server: psutil.Process) -> None:
    # they were forked before the trace, which would not follow them
    free = server.children()
    for each in free:
        each.kill()
    processes.wait_until(lambda: not any(each.is_running() for each in free), 5, "the end of the free shims")


def _run(node: Node, ticket: Ticket) -> dict[str, Any]:
    with node.control() as control:
        ticket.spawn = control.post("spawns", ticket.request(0))["id"]
        row = control.wait(ticket.spawn, 20)
    assert row["state"] in TERMINAL, row
    return row


@pytest.mark.skipif(_STRACE is None, reason="strace is not installed; apt-get install strace")
@pytest.mark.timeout(90)
def test_shim_dies_at_each_sync() -> None:
    """For each sync of a shim: the shim dies there, and the broker tells what is so."""
    with Mesh.scratch("relay-syncs-") as mesh:
        node = mesh.add("a")
        faults: list[str] = []
        states: dict[int, set[str]] = {}
        for number, (nth, shape) in enumerate((nth, shape) for nth in _SYNCS for shape in ("quick", "sleeps")):
            ticket = Ticket(number, shape, node, node)
            [server] = processes.wait_until(node.fork_servers, 10, "the fork server")
            _end_free_shims(server)
            with _dying_at_sync(server.pid, nth):
                row = _run(node, ticket)
            states.setdefault(nth, set()).add(row["state"])
            faults += [f"sync {nth}: {fault}" for fault in ticket.violations(row, row)]
        processes.wait_until(lambda: not processes.tasks_left(mesh.folder), 5, "the end of all tasks")
        assert not faults, "\n".join(faults)
        # it did die: at the first sync the start was not promised, so that nobody can know; at the last all was over
        assert (states[1], states[_SYNCS[-1]]) == ({"lost"}, {"completed"}), states

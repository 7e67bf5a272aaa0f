"""A shim that dies at any of its writes or syncs ends its task, and the task is `lost` or rightly told."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.tickets import Ticket
from relay.testing.tracer import Untraceable, traced
from relay.testing.trial import TERMINAL

if TYPE_CHECKING:
    import psutil

_WRITES = range(2, 6)  # after its promise: its task, its start, its exit; the fifth shows that these are all
_SYNCS = range(1, 3)  # its exit where the broker is slow; the second shows that this is all


def _dying_at(call: str, pid: int, nth: int) -> AbstractContextManager[None]:
    """Every process that `pid` forks is killed at its n-th such call, for the length of a block."""
    injection = f"inject={call}:signal=SIGKILL:when={nth}"
    return traced(pid, "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", injection)


def _end_free_shims(server: psutil.Process) -> None:
    # they were forked before the trace, which would not follow them
    free = server.children()
    for each in free:
        processes.kill(each)  # it may go by itself
    processes.wait_until(lambda: not any(each.is_running() for each in free), 30, "the end of the free shims")


def _run(node: Node, ticket: Ticket) -> dict[str, Any]:
    with node.control() as control:
        ticket.spawn = control.post("spawns", ticket.request(0))["id"]
        row = control.wait(ticket.spawn, 20)
    assert row["state"] in TERMINAL, row
    return row


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; apt-get install strace")
@pytest.mark.timeout(90)
@pytest.mark.parametrize(("call", "times"), [("pwrite64", _WRITES), ("fdatasync", _SYNCS)])
def test_shim_dies_at_each_of_its_steps(call: str, times: range) -> None:
    """For each write and sync of a shim: the shim dies there, and the broker tells what is so."""
    with Mesh.scratch("relay-syncs-") as mesh:
        node = mesh.add("a")
        faults: list[str] = []
        states: dict[int, set[str]] = {}
        for number, (nth, shape) in enumerate((nth, shape) for nth in times for shape in ("quick", "sleeps")):
            ticket = Ticket(number, shape, node, node)
            [server] = processes.wait_until(node.fork_servers, 10, "the fork server")
            _end_free_shims(server)
            try:
                with _dying_at(call, server.pid, nth):
                    row = _run(node, ticket)
            except Untraceable as exc:
                pytest.skip(f"strace may not trace here: {exc}")
            states.setdefault(nth, set()).add(row["state"])
            faults += [f"{call} {nth}: {fault}" for fault in ticket.violations(row, row)]
        processes.wait_until(lambda: not processes.tasks_left(mesh.folder), 5, "the end of all tasks")
        assert not faults, "\n".join(faults)
        # it did die: the start was promised, so that nobody can know; at the last step all was over
        assert states[times[-1]] == {"completed"} and (call == "fdatasync" or states[times[0]] == {"lost"}), states

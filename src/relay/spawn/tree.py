"""Sweeping what a vanished shim left behind, from the broker.

Three nets (design §7): the fork server adopts and kills orphans by itself; here the environment's mark finds what
kept its environment, the task's session what cleared it, and descent what both have started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from relay.spawn.shim import kernel, processes
from relay.spawn.shim.spec import MARKER
from relay.spawn.shim.tree import signal_all

_SWEEP_S = 2.0
_LOOK_AGAIN_S = 0.01
_STOPPED, _TRACED = "T", "t"


def find(name: str, task: tuple[int, int] | None) -> list[processes.Process]:
    """The living processes of an attempt's tree.

    Args:
        name: the attempt folder's name, which the task's environment carries.
        task: pid and start ticks of the task's main process, of *this* boot; None where they are not known.
    """
    table = processes.table()
    mark = f"{MARKER}={name}".encode()
    pids = processes.carriers(table, mark) | _session(table, task)
    pids |= processes.descendants(table, pids)
    return [table[pid] for pid in pids if table[pid].alive]


def sweep(name: str, task: tuple[int, int] | None) -> int:
    """Kill the tree, blocking for at most about 2 s; how many processes are still alive. Arguments as `find`."""
    deadline = time.monotonic() + _SWEEP_S
    # Twice: what forks and ends all the time may be seen in between.
    while living := find(name, task) or find(name, task):
        if time.monotonic() > deadline:
            break
        signal_all(living, signal.SIGKILL)
        for pid in {each.parent for each in living}:
            wake(pid)
        time.sleep(_LOOK_AGAIN_S)
    return len(living)


def kill_unborn(lock: Path) -> None:
    """Kill what a dead shim has left before its exec: it has no mark yet, but the lock of the attempt until then."""
    if not kernel.ADOPTS:
        return
    with contextlib.suppress(OSError):
        what = lock.stat()
        holders = [each for each in processes.table().values() if _is_unborn(each, what)]
        signal_all(holders, signal.SIGKILL)


def _is_unborn(process: processes.Process, lock: os.stat_result) -> bool:
    own = Path(f"/proc/{process.pid}")
    try:
        # by its name: whoever else looks at that file is let be
        if (own / "comm").read_text() != f"{kernel.SHIM}\n":
            return False
        return any(os.path.samestat(fd.stat(), lock) for fd in (own / "fd").iterdir())
    except OSError:  # it, or what it had open, is gone meanwhile
        return False


def wake(shim: int) -> None:
    """Have a shim go on where its task has stopped or traces it: it leaves when that has ended."""
    found = processes.look_up(shim)
    if found is None or found.session != shim:
        return
    with contextlib.suppress(PermissionError):
        if found.state == _STOPPED:
            processes.send(found, signal.SIGCONT)
        elif found.state == _TRACED:
            _end_tracer(shim)


def _end_tracer(shim: int) -> None:
    """Kill who traces a shim, where that is below it: nothing else has what is traced go on. A debugger is let be."""
    with contextlib.suppress(OSError):
        tracer = _number(_number(shim, "TracerPid"), "Tgid")  # it is a thread that traces
        table = processes.table()
        if tracer in processes.descendants(table, {shim}):
            processes.send(table[tracer], signal.SIGKILL)


def _number(pid: int, what: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    return int(status.partition(f"\n{what}:")[2].split(maxsplit=1)[0])


def _session(table: dict[int, processes.Process], task: tuple[int, int] | None) -> set[int]:
    if task is None:
        return set()
    pid, ticks = task
    leader = table.get(pid)
    # The number lives on while the session has members; another process under it is another session.
    if leader is not None and leader.ticks != ticks:
        return set()
    return {each.pid for each in table.values() if each.session == pid and each.ticks >= ticks}

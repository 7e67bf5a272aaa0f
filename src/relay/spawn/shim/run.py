"""One attempt in a shim's life: lock, refuse or promise, run, report.

Order is everything (design §7). The intent is written before the task is started, so that no intent means never
started; where its process is forked before that (`task.py`), it waits on a pipe, and dies with the shim. The intent is
on the disk by then, too, unless the broker's store says in which boot the attempt begins (`recovery.presume_begun`).
The exit record is written when the tree is gone, so that it means all is over. The stop slot is read after the intent
was written and the broker reads the intent after it wrote the stop slot: one of them sees the other, and no stop is
lost between them.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from functools import cache

from . import confining, folder, kernel, processes, record, tree
from .awake import Awake
from .cgroups import Kills
from .direct_task import DirectTask, serves
from .last_word import LastWord
from .logfile import LogFile
from .spec import MARKER, Spec
from .supervise import Supervisor
from .task import Task, fork_task
from .wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DONE = 0
FREE = -1
"""All is over as well, and nothing of the attempt is left in the process: it may run another."""
REFUSED = 3
"""The attempt has been promised, fenced or ended before, or another holds its lock: nothing was done."""
SURVIVED = 4
"""The exit record is written but a process of the tree is still alive."""


def settle() -> None:
    """Become a shim, once for all that it runs."""
    os.setsid()
    kernel.adopt_orphans()
    kernel.set_title(kernel.SHIM)
    _inherited()


def run(spec: Spec, wakeup: Wakeup, kills: Kills, last: LastWord) -> int:
    """Own the attempt of `spec` from its lock to its exit record; the shim's exit status, or `FREE`.

    Args:
        wakeup: of this process; TERM and CHLD are caught.
        kills: of the group that it is in.
        last: the attempt before, which is settled while this one runs; where the answer is `FREE`, this one's.
    """
    task = _readied(spec, None) if spec.held else None
    lock = folder.await_lock(spec.held, spec.folder) if spec.held else folder.take_lock(spec.folder)
    if lock is None and task is not None and spec.held:
        task.abandon()
        return FREE
    if lock is None:
        return REFUSED
    record_fd = os.open(f"{spec.folder}/{folder.RECORD}", os.O_RDWR)
    if _is_taken(record_fd):
        return REFUSED
    task = task or _readied(spec, lock)
    _promise(record_fd, spec)
    fields, log = _carry_out(spec, task, record_fd, wakeup, kills, last)
    record.write_slot(record_fd, record.EXIT, record.fit(fields), durable=False)
    if log is not None:
        # This tells the broker, which need not wait for the disk: what it writes down stands for the record.
        log.close()
    last.settle()
    last.is_of(spec.folder, record_fd)
    if fields["survivors"]:
        return SURVIVED
    if fields["error"] or not kernel.ADOPTS or not spec.is_plain:
        return DONE
    if _bounds() != _inherited():
        return DONE
    os.close(lock)
    return FREE


def _bounds() -> tuple[object, ...]:
    """What a task has of its shim, and may change in it by its pid: limits, niceness, processors, scheduling."""
    limits = [_told(resource.getrlimit, each) for each in range(resource.RLIMIT_RTTIME + 1)]
    niceness = _told(os.getpriority, os.PRIO_PROCESS, 0)
    return *limits, niceness, _told(os.sched_getaffinity, 0), _told(os.sched_getscheduler, 0)


def _told(ask: Callable[..., object], *of: int) -> object:
    """What the system says; None where it does not, as a sandbox, or musl of a policy: tasks run there all the same."""
    try:
        return ask(*of)
    except (OSError, ValueError):
        return None


@cache
def _inherited() -> tuple[object, ...]:
    """The bounds that this shim began with: with others it is given nothing more, which would run within them."""
    return _bounds() if kernel.ADOPTS else ()


def _readied(spec: Spec, lock: int | None) -> Task | DirectTask:
    return DirectTask(spec) if serves(spec) else fork_task(spec, lock)


def is_promised(attempt: str) -> bool:
    """Whether a shim has begun, or nobody may begin, the attempt of this folder. Raises OSError."""
    record_fd = os.open(f"{attempt}/{folder.RECORD}", os.O_RDONLY)
    try:
        return _is_taken(record_fd)
    finally:
        os.close(record_fd)


def _is_taken(record_fd: int) -> bool:
    slots = record.read_slots(record_fd)
    # a task may write over the promise of its own start: no fields are in that, and it stays one
    return any(slots[number] is not None for number in (record.INTENT, record.FENCE, record.EXIT))


@cache
def _ticks_of(me: int) -> int:
    return processes.ticks(me)


def _promise(record_fd: int, spec: Spec) -> None:
    me = os.getpid()
    fields: dict[str, object] = {
        "shim": me,
        "ticks": _ticks_of(me),
        "boot": processes.boot_id(),
        "protocol": record.PROTOCOL,
        # a power cut may take the folder's new name back (`spawn/spares.py`)
        "name": spec.name,
        "at": time.time_ns() // 1_000_000,
    }
    record.write_slot(record_fd, record.INTENT, fields, durable=spec.durable)


def _carry_out(
    spec: Spec, task: Task | DirectTask, record_fd: int, wakeup: Wakeup, kills: Kills, last: LastWord
) -> tuple[dict[str, object], LogFile | None]:
    log = None
    try:
        if record.read_slot(record_fd, record.STOP) is not None:
            task.abandon()
            return _never_ran(_error("stopped", "stopped before it was started"), stopped=True), None
        if spec.limits and (why := confining.fault_of(spec)) is not None:
            task.abandon()
            return _never_ran(_error("no_limits", why[:150]), stopped=False), None
        log = LogFile(f"{spec.folder}/{folder.LOG}", spec.log_limit)
        return _supervise(spec, task, log, record_fd, wakeup, kills, last), log
    except Exception as fault:  # whatever it is, the tree must go and the record must say so
        _kill_everything(spec)
        return _never_ran(_error("shim_fault", f"{type(fault).__name__}: {fault}"[:100]), stopped=False), log


def _supervise(
    spec: Spec, task: Task | DirectTask, log: LogFile, record_fd: int, wakeup: Wakeup, kills: Kills, last: LastWord
) -> dict[str, object]:
    awake = None
    kills.mark()  # before its start: what follows waits for a disk, and memory runs out in less
    if isinstance(task, DirectTask):
        if (error := task.start()) is not None:
            is_stopped = record.read_slot(record_fd, record.STOP) is not None  # asked for meanwhile
            return _never_ran(error, stopped=is_stopped) | log.fields()
        noted = _note(task, record_fd)
        started = {**noted, "at": time.time_ns() // 1_000_000}
        record.write_slot(record_fd, record.STARTED, started, durable=False)
    else:
        noted = _note(task, record_fd)
        awake = Awake(spec.name, spec.env.get("PATH", os.defpath), task.pid) if spec.keep_awake else None
        task.release()
    last.settle()
    return Supervisor(spec, task, noted, log, record_fd, wakeup, kills, awake).run()


def _note(task: Task | DirectTask, record_fd: int) -> dict[str, object]:
    noted: dict[str, object] = {"pid": task.pid, "ticks": task.ticks}
    record.write_slot(record_fd, record.TASK, noted, durable=False)
    return noted


def _kill_everything(spec: Spec) -> None:
    mark = f"{MARKER}={spec.name}".encode()
    deadline = time.monotonic() + 1.0
    while (living := tree.members(mark, None)) and time.monotonic() < deadline:
        tree.signal_all(living, signal.SIGKILL)
        time.sleep(0.01)


def _error(kind: str, text: str) -> dict[str, object]:
    return {"kind": kind, "errno": None, "text": text}


def _never_ran(error: dict[str, object], *, stopped: bool) -> dict[str, object]:
    now = time.time_ns() // 1_000_000
    return {
        "exit_code": None,
        "signal": None,
        "timed_out": False,
        "stopped": stopped,
        "started_at": None,
        "ended_at": now,
        "error": error,
        "survivors": 0,
    }

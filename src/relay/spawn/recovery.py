"""What becomes of an attempt whose shim may be gone: decide from what is found, then carry it out under the lock.

| lock | intent | started | exit | fence | shim lives | verdict |
|---|---|---|---|---|---|---|
| any | any | any | yes | any | any | TERMINAL: all is over, the exit record says how |
| any | yes, or started | | no | yes | any | SWEEP_AND_LOST: impossible by the lock, so never run again |
| any | no | no | no | yes | any | FENCE_AND_REQUEUE: somebody fenced it before us |
| held | no | any | no | no | any | WAIT: a shim is between its lock and its intent |
| held | yes | any | no | no | yes | REATTACH |
| held | yes | any | no | no | no | WAIT: another recovery, or a child of a dead shim, which is killed, is to let go |
| free | no | no | no | no | any | FENCE_AND_REQUEUE: the intent precedes any process, so none was |
| free | yes, or started | | no | no | any | SWEEP_AND_LOST; after another boot there is nothing to sweep |

The promise of an attempt that begins at once is not synced, which took a twentieth of a short spawn: the store has
the boot in which it was to begin, and in another one that is as good as a promise (`presume_begun`, before this
table). So a power cut in the milliseconds between the commit and the start makes it lost; it is not queued again.

"The shim lives": the intent is of this boot, and its pid still runs with the same start ticks. After a reboot no
lock is held and no shim lives, so that an intent without an exit is lost.

A missing folder (or a half-made one) of an attempt that the store calls prepared is furnished, fenced and
requeued. It cannot have run: a launch is asked for only when record and folder are fsynced. Should a power cut
take back the name of a folder that was a spare, `Spares.reclaim`, which comes first, finds it by its intent; one
without an intent had started nothing. It cannot run later either: a launch still under way finds the fence, or the
lock taken. Should a person have deleted the folder under a running task, or the task have put something else in the
place of its record, its mark is found in the process table, and it is lost; as it is where the broker had the record
open, and that tells of the promise.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from enum import Enum
from typing import TYPE_CHECKING

from relay.core.values import frozen
from relay.spawn import tree
from relay.spawn.shim import folder as layout
from relay.spawn.shim import processes, record
from relay.spawn.slots import sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from relay.spawn.opened_record import OpenedRecord
    from relay.spawn.watch import Changes

_LOCK_LAG_S = 0.25
"""The kernel tells of a closed lock just before it frees it; rather than miss that, look again."""


_NOBODY: dict[str, object] = {"pid": 0, "ticks": 0}
"""In a task's slot: it ran, and nothing is known of its process."""


class Verdict(Enum):
    """What is to be done with an attempt."""

    TERMINAL = "terminal"
    REATTACH = "reattach"
    WAIT = "wait"
    FENCE_AND_REQUEUE = "fence and requeue"
    SWEEP_AND_LOST = "sweep and lost"


@frozen
class Found:
    """What is found in an attempt's folder. `shim_lives` is about the intent and means nothing without one."""

    lock_held: bool
    intent: bool
    started: bool
    exit: bool
    fence: bool
    shim_lives: bool


@frozen
class Recovered:
    """What was decided and done. `survivors` counts processes that a sweep could not kill."""

    verdict: Verdict
    survivors: int = 0


def decide(found: Found) -> Verdict:
    """The verdict on one row of the table above."""
    promised = found.intent or found.started
    if found.exit:
        return Verdict.TERMINAL
    if found.fence:
        return Verdict.SWEEP_AND_LOST if promised else Verdict.FENCE_AND_REQUEUE
    if found.lock_held:
        return Verdict.REATTACH if found.intent and found.shim_lives else Verdict.WAIT
    return Verdict.SWEEP_AND_LOST if promised else Verdict.FENCE_AND_REQUEUE


def recover(folder: Path) -> Recovered:
    """Decide on an attempt and carry it out; blocks for file syncs, and up to 2 s for a sweep.

    Idempotent: a second call, or one by the next broker, comes to the same verdict.
    """
    if not all(_is_in_place(folder / name) for name in (layout.LOCK, layout.RECORD)):
        _furnish_again(folder)
    lock = layout.take_lock(str(folder))
    try:
        return _recover(folder, lock_held=lock is None)
    finally:
        if lock is not None:
            os.close(lock)


async def settle(folder: Path, changes: Changes) -> Recovered:
    """`recover`, again and again while the verdict is WAIT (a shim needs about a ms from lock to intent).

    Args:
        changes: a watch on this folder.
    """
    while (outcome := await asyncio.to_thread(recover, folder)).verdict is Verdict.WAIT:
        await changes.wait(_LOCK_LAG_S)
    return outcome


async def settle_by(
    opened: OpenedRecord | None, fd: int | None, folder: Path, changes: Changes, seen_started: bool
) -> Recovered:
    """`settle`, judged by the record that was open since before its task could put it away, or wipe it.

    Args:
        opened: when it was opened; None where it was never there to be.
        fd: its descriptor.
        folder, changes: as `settle` has them.
        seen_started: whether the record said once that it had.
    """
    was_written = False
    if opened is not None and fd is not None and record.read_slot(fd, record.FENCE) is None:  # which is our own word
        was_written = opened.was_written(fd)
    outcome = await settle(folder, changes)
    if outcome.verdict is not Verdict.FENCE_AND_REQUEUE or fd is None:
        return outcome
    slots = record.read_slots(fd)
    promised = seen_started or any(slots[each] is not None for each in (record.INTENT, record.TASK, record.STARTED))
    if promised or (was_written and slots[record.STOP] is None):
        return Recovered(Verdict.SWEEP_AND_LOST, outcome.survivors)
    return outcome


def presume_begun(folder: Path) -> None:
    """A power cut may have taken the promise of this attempt: it is none that never ran. Blocks for a sync.

    One that has ended, or was fenced, or whose promise is there, stays what it is.
    """
    if not all(_is_in_place(folder / name) for name in (layout.LOCK, layout.RECORD)):
        _furnish(folder)
    fd = os.open(folder / layout.RECORD, os.O_RDWR)
    try:
        slots = record.read_slots(fd)
        if not any(fields for slot, fields in enumerate(slots) if slot != record.STOP):
            record.write_slot(fd, record.TASK, _NOBODY, durable=True)
    finally:
        os.close(fd)


def _is_in_place(file: Path, is_its_kind: Callable[[int], bool] = stat.S_ISREG) -> bool:
    """Whether that file is there; what a task has put in its place is taken away."""
    try:
        kind = file.lstat().st_mode
    except OSError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    if is_its_kind(kind):
        return True
    if stat.S_ISDIR(kind):
        shutil.rmtree(file)
    else:
        file.unlink()
    return False


def _furnish(folder: Path) -> None:
    _is_in_place(folder, stat.S_ISDIR)
    layout.furnish(str(folder))


def _furnish_again(folder: Path) -> None:
    ran = bool(tree.find(folder.name, None))
    _furnish(folder)
    if ran:
        # Durable before the sweep: the next broker will find nothing alive and must not requeue either.
        with (folder / layout.RECORD).open("r+b", buffering=0) as file:
            record.write_slot(file.fileno(), record.TASK, _NOBODY, durable=True)
        # Its shim may hold the lock still, and nothing can be told to it any more: it goes when its task has gone.
        tree.sweep(folder.name, None)


def _recover(folder: Path, *, lock_held: bool) -> Recovered:
    fd = os.open(folder / layout.RECORD, os.O_RDWR)
    try:
        slots = record.read_slots(fd)
        verdict = decide(_found(slots, lock_held))
        if verdict is Verdict.FENCE_AND_REQUEUE:
            _fence(fd, slots)
    finally:
        os.close(fd)
    if verdict is Verdict.SWEEP_AND_LOST:
        return Recovered(verdict, tree.sweep(folder.name, _task_of_this_boot(slots)))
    if verdict is Verdict.WAIT and sound(record.INTENT, slots[record.INTENT]) is not None:
        tree.kill_unborn(folder / layout.LOCK)
    return Recovered(verdict)


def _found(slots: list[dict[str, object] | None], lock_held: bool) -> Found:
    intent = slots[record.INTENT]
    return Found(
        lock_held=lock_held,
        # what is written there and is not sound was written by a task that ran
        intent=intent is not None,
        # The task's slot is as good a proof of a promise as the later word that it is past exec.
        started=slots[record.STARTED] is not None or slots[record.TASK] is not None,
        exit=sound(record.EXIT, slots[record.EXIT]) is not None,
        fence=slots[record.FENCE] is not None,
        shim_lives=_shim_lives(sound(record.INTENT, intent)),
    )


def _shim_lives(intent: dict[str, object] | None) -> bool:
    if intent is None or intent["boot"] != processes.boot_id():
        return False
    return processes.same(int(str(intent["shim"])), int(str(intent["ticks"])))


def _fence(fd: int, slots: list[dict[str, object] | None]) -> None:
    if slots[record.FENCE] is None:
        record.write_slot(fd, record.FENCE, {"by": os.getpid()}, durable=True)


def _task_of_this_boot(slots: list[dict[str, object] | None]) -> tuple[int, int] | None:
    intent, task = (sound(number, slots[number]) for number in (record.INTENT, record.TASK))
    if intent is None or task is None or intent.get("boot") != processes.boot_id():
        return None
    return int(str(task["pid"])), int(str(task["ticks"]))

"""The recovery table of design §7, row by row, and that it is carried out."""

from __future__ import annotations

import os
from itertools import product
from typing import TYPE_CHECKING

import pytest

from relay.spawn.recovery import Found, Verdict, decide, presume_begun, recover
from relay.spawn.shim import folder, processes, record

from .yard import alive, holds, until

if TYPE_CHECKING:
    from pathlib import Path

    from .yard import Yard

ROWS = [Found(*row) for row in product([False, True], repeat=6)]


def expected(row: Found) -> Verdict:
    """The table in other words: who must not run again, who may, who is not ours to judge yet."""
    may_have_run = row.intent or row.started
    rules = [
        (row.exit, Verdict.TERMINAL),
        (row.fence and may_have_run, Verdict.SWEEP_AND_LOST),
        (row.fence, Verdict.FENCE_AND_REQUEUE),
        (row.lock_held and row.intent and row.shim_lives, Verdict.REATTACH),
        (row.lock_held, Verdict.WAIT),
        (may_have_run, Verdict.SWEEP_AND_LOST),
        (True, Verdict.FENCE_AND_REQUEUE),
    ]
    return next(verdict for holds, verdict in rules if holds)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "".join("-x"[value] for value in _values(row)))
def test_each_row(row: Found) -> None:
    verdict = decide(row)
    assert verdict is expected(row)
    # What the promises rest on, whatever the table says.
    if row.intent or row.started or row.exit:
        assert verdict is not Verdict.FENCE_AND_REQUEUE
    if row.lock_held and not (row.exit or row.fence):
        assert verdict in (Verdict.WAIT, Verdict.REATTACH)


def _values(row: Found) -> list[bool]:
    return [row.lock_held, row.intent, row.started, row.exit, row.fence, row.shim_lives]


def furnished(root: Path, name: str, **slots: dict[str, object]) -> Path:
    """An attempt folder with these slots written."""
    path = root / name
    folder.furnish(str(path))
    fd = os.open(path / "record", os.O_RDWR)
    for slot, fields in slots.items():
        record.write_slot(fd, getattr(record, slot), fields, durable=False)
    os.close(fd)
    return path


def fenced(path: Path) -> bool:
    fd = os.open(path / "record", os.O_RDONLY)
    try:
        return record.read_slot(fd, record.FENCE) is not None
    finally:
        os.close(fd)


def ended(**other: object) -> dict[str, object]:
    """A whole word on an end."""
    said = {"exit_code": 0, "signal": None, "timed_out": False, "stopped": False}
    return said | {"started_at": 1, "ended_at": 2, "error": None} | other


def intent(**changes: object) -> dict[str, object]:
    me = processes.look_up(os.getpid())
    assert me is not None
    return {"shim": me.pid, "ticks": me.ticks, "boot": processes.boot_id(), "protocol": 1, "at": 0, **changes}


def test_a_missing_folder_is_made_and_fenced(tmp_path: Path) -> None:
    path = tmp_path / "gone-1"
    for _ in range(2):
        assert recover(path).verdict is Verdict.FENCE_AND_REQUEUE
        assert fenced(path)


@pytest.mark.parametrize("missing", ["lock", "record", "log"])
def test_a_half_made_folder_is_fenced(tmp_path: Path, missing: str) -> None:
    path = furnished(tmp_path, "half-1")
    (path / missing).unlink()
    assert recover(path).verdict is Verdict.FENCE_AND_REQUEUE and fenced(path)


def test_a_torn_record_is_fenced(tmp_path: Path) -> None:
    path = furnished(tmp_path, "torn-1")
    os.truncate(path / "record", 100)
    assert recover(path).verdict is Verdict.FENCE_AND_REQUEUE and fenced(path)


async def test_a_folder_deleted_under_a_running_task_is_lost(yard: Yard) -> None:
    run = await yard.sh("echo ready; sleep 60")
    await run.says("ready")
    pid = (await run.started()).pid
    run.watching.cancel()
    for file in list(run.attempt.folder.iterdir()):
        file.unlink()
    run.attempt.folder.rmdir()
    for _ in range(2):
        assert recover(run.attempt.folder).verdict is Verdict.SWEEP_AND_LOST
    await until(lambda: not alive(pid) and not holds(run.shim, run.attempt.folder))


def test_after_a_reboot_a_promise_without_an_end_is_lost(tmp_path: Path) -> None:
    path = furnished(tmp_path, "old-1", INTENT=intent(boot="another"), TASK={"pid": os.getpid(), "ticks": 1})
    assert recover(path).verdict is Verdict.SWEEP_AND_LOST
    assert not fenced(path)


def test_what_is_presumed_to_have_begun_is_lost_though_its_record_says_nothing(tmp_path: Path) -> None:
    stopped = furnished(tmp_path, "stopped-1", STOP={"at": 0, "by": ""})
    for path in (furnished(tmp_path, "blank-1"), tmp_path / "gone-1", stopped):
        presume_begun(path)
        for _ in range(2):
            assert recover(path).verdict is Verdict.SWEEP_AND_LOST and not fenced(path)


@pytest.mark.parametrize(
    ("slots", "verdict"),
    [
        ({"FENCE": {"by": 1}}, Verdict.FENCE_AND_REQUEUE),
        ({"INTENT": intent(), "EXIT": ended()}, Verdict.TERMINAL),
        ({"INTENT": intent(boot="another")}, Verdict.SWEEP_AND_LOST),
    ],
)
def test_what_a_record_says_is_not_presumed_otherwise(
    tmp_path: Path, slots: dict[str, dict[str, object]], verdict: Verdict
) -> None:
    path = furnished(tmp_path, "said-1", **slots)
    before = (path / "record").read_bytes()
    presume_begun(path)
    assert (path / "record").read_bytes() == before and recover(path).verdict is verdict


def test_a_promise_whose_shim_is_gone_is_lost(tmp_path: Path) -> None:
    path = furnished(tmp_path, "lost-1", INTENT=intent(ticks=1))
    assert recover(path).verdict is Verdict.SWEEP_AND_LOST


def test_what_its_task_has_made_of_a_promise_is_one(tmp_path: Path) -> None:
    spoilt: list[dict[str, object]] = [{"shim": "x"}, {}]
    for n, said in enumerate(spoilt):
        path = furnished(tmp_path, f"spoilt-{n}", INTENT=said, TASK={"pid": "x"}, EXIT={"exit_code": 0})
        assert recover(path).verdict is Verdict.SWEEP_AND_LOST and not fenced(path)


@pytest.mark.parametrize(
    ("slots", "verdict"),
    [
        ({}, Verdict.WAIT),
        ({"INTENT": intent()}, Verdict.REATTACH),
        ({"INTENT": intent(ticks=1)}, Verdict.WAIT),
        ({"INTENT": intent(boot="another")}, Verdict.WAIT),
        ({"INTENT": intent(), "EXIT": ended()}, Verdict.TERMINAL),
        ({"INTENT": intent(), "EXIT": ended(exit_code="0")}, Verdict.REATTACH),
        ({"INTENT": intent() | {"ticks": "x"}}, Verdict.WAIT),
    ],
)
def test_while_the_lock_is_held(
    tmp_path: Path, slots: dict[str, dict[str, object]], verdict: Verdict
) -> None:
    path = furnished(tmp_path, "held-1", **slots)
    held = folder.take_lock(str(path))
    assert held is not None
    try:
        assert recover(path).verdict is verdict and not fenced(path)
    finally:
        os.close(held)

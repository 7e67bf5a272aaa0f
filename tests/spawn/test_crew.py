"""A shim that has run a task is given the next one, and has nothing left of the one before."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay.spawn.attempt import Vanished
from relay.spawn.recovery import Verdict
from relay.spawn.shim import folder as layout
from relay.spawn.shim import processes
from relay.spawn.shim.crew import TAKES_S

from .yard import ENVIRONMENT, alive, children, holds, until

if TYPE_CHECKING:
    from .yard import Run, Yard


async def _ended(yard: Yard, script: str, **options: Any) -> Run:
    run = await yard.sh(script, **options)
    await run.exit()
    await until(lambda: not holds(run.shim, run.attempt.folder))
    return run


def _open_files(pid: int) -> list[str]:
    return sorted(os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())


async def test_one_shim_runs_one_task_after_the_other(yard: Yard) -> None:
    first = await _ended(yard, "cat; exit 3", stdin=b"x" * 4096, ahead=True)
    files = _open_files(first.shim)
    for code in range(3):
        run = await _ended(yard, f"env; exit {code}", env={"ONE": str(code)}, ahead=True)
        assert run.shim == first.shim and (await run.exit()).exit_code == code
        assert f"ONE={code}\n" in run.output() and "LANG" not in run.output()
    unread = await _ended(yard, "exit 4", stdin=b"y" * 20000, ahead=True)
    assert (unread.shim, _open_files(first.shim)) == (first.shim, files)


def _own_memory(pid: int) -> int:
    found = re.search(r"RssAnon:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


async def test_a_shim_keeps_nothing_of_what_it_has_run(yard: Yard) -> None:
    # where `sh` is in the second folder, and not in the first
    env = {"PATH": f"/:{ENVIRONMENT['PATH']}", "LARGE": "y" * 25000}

    async def run_on(count: int) -> int:
        for _ in range(count):
            assert (await _ended(yard, "exit 4", env=env)).shim == shim
        return _own_memory(shim)

    shim = (await _ended(yard, "true")).shim
    before = await run_on(3)
    assert await run_on(18) - before < 48


async def test_who_was_free_before_a_launch_came_is_given_it(yard: Yard, tmp_path: Path) -> None:
    """Though the fork server hears of both at once, as where it has had no turn for a while."""
    go = tmp_path / "go"
    run = await yard.sh(f"until test -e {go}; do sleep 0.02; done")
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    go.touch()
    await run.exit()
    await until(lambda: not holds(run.shim, run.attempt.folder))
    following = asyncio.create_task(yard.sh("exit 7"))
    await asyncio.sleep(0)
    os.kill(server, signal.SIGCONT)
    assert (await following).shim == run.shim and (await (await following).exit()).exit_code == 7


async def test_two_at_once_have_two_shims(yard: Yard, tmp_path: Path) -> None:
    await _ended(yard, "true")
    go = tmp_path / "go"
    script = f"until test -e {go}; do sleep 0.02; done; exit "
    runs = await asyncio.gather(*(yard.sh(f"{script}{code}") for code in (7, 8)))
    assert len({run.shim for run in runs}) == 2
    go.touch()
    assert [(await run.exit()).exit_code for run in runs] == [7, 8]


@pytest.mark.parametrize("options", [{"door": True}, {"terminal": (24, 80)}])
async def test_a_task_with_a_door_is_the_last_of_its_shim(yard: Yard, options: dict[str, Any]) -> None:
    run = await yard.sh("exit 5", **options)
    assert (await run.exit()).exit_code == 5
    await until(lambda: not alive(run.shim))


async def test_a_shim_that_could_not_start_its_task_is_not_kept(yard: Yard) -> None:
    run = await yard.launch("/does/not/exist")
    end = await run.exit()
    assert end.error is not None and end.error.kind == "not_found"
    await until(lambda: not alive(run.shim))


@pytest.mark.parametrize("change", ["prlimit --nofile=100 --pid", "renice -n $(($(nice) + 1)) -p", "chrt -b -p 0"])
async def test_a_shim_whose_bounds_a_task_has_changed_is_given_no_other(yard: Yard, change: str) -> None:
    run = await yard.sh(f"{change} $PPID; exit 8")
    assert (await run.exit()).exit_code == 8
    await until(lambda: not alive(run.shim))


async def test_a_free_shim_that_dies_costs_nothing(yard: Yard) -> None:
    free = (await _ended(yard, "true")).shim
    os.kill(free, signal.SIGKILL)
    assert (await yard.run("exit 6")).exit_code == 6


async def test_a_launch_that_nobody_read_was_never_started(yard: Yard, tmp_path: Path) -> None:
    free = (await _ended(yard, "true")).shim
    os.kill(free, signal.SIGSTOP)
    run = await yard.launch("touch", str(tmp_path / "ran"))
    assert run.shim == free
    os.kill(free, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.FENCE_AND_REQUEUE, 0)
    assert not (tmp_path / "ran").exists()


async def test_a_launch_that_nobody_takes_is_another_shim_s_within_seconds(yard: Yard, tmp_path: Path) -> None:
    free = (await _ended(yard, "true")).shim
    os.kill(free, signal.SIGSTOP)
    run = await yard.launch("touch", str(tmp_path / "ran"))
    assert run.shim == free
    attempt = yard.prepare()  # and of one that was forked for it
    lock = layout.take_lock(str(attempt.folder))
    assert lock is not None
    held = str(attempt.folder)
    fresh = await yard.launcher.launch(yard.spec(attempt, "touch", str(tmp_path / "ran"), held=held))
    os.kill(fresh, signal.SIGSTOP)
    await until(lambda: (shim := processes.look_up(fresh)) and shim.state == "T")
    os.close(lock)
    async with asyncio.timeout(3 * TAKES_S):
        assert await yard.observe(attempt, fresh).end() == Vanished(Verdict.FENCE_AND_REQUEUE, 0)
        assert await run.end() == Vanished(Verdict.FENCE_AND_REQUEUE, 0)
    assert not alive(free) and not alive(fresh) and not (tmp_path / "ran").exists()
    assert (await yard.run("exit 6")).exit_code == 6


async def test_a_task_that_lasts_longer_than_a_launch_may_lie_unread_goes_on(yard: Yard) -> None:
    free = (await _ended(yard, "true")).shim
    run = await yard.sh(f"sleep {TAKES_S + 1}; exit 7")
    assert run.shim == free and (await run.exit()).exit_code == 7
    assert (await _ended(yard, "exit 8")).shim == free


async def test_a_free_shim_that_is_stopped_leaves_with_its_fork_server(yard: Yard) -> None:
    free = (await _ended(yard, "true")).shim
    os.kill(free, signal.SIGSTOP)
    await yard.launcher.close()
    await until(lambda: not alive(free))


async def test_free_shims_leave_with_their_fork_server(yard: Yard) -> None:
    free = (await _ended(yard, "true")).shim
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    await until(lambda: not alive(free))
    await until(lambda: yard.launcher.server_pid is None)
    again = (await _ended(yard, "true")).shim
    await yard.launcher.close()
    await until(lambda: not alive(again))


async def test_a_free_shim_stands_in_no_task_s_folder(yard: Yard, tmp_path: Path) -> None:
    free = (await _ended(yard, "pwd; exit 3", cwd=tmp_path, ahead=True)).shim
    assert not children(free) and os.readlink(f"/proc/{free}/cwd") == "/"

"""Nothing outlives its task (promise 9), whatever it does to stay."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, TextIO

import pytest

from relay.spawn import launcher
from relay.spawn.attempt import Vanished
from relay.spawn.by_force import end_by_force
from relay.spawn.overdue import LATE_S, Overdue
from relay.spawn.recovery import Verdict
from relay.spawn.shim import processes, record

from .groups import freezer
from .yard import alive, children, edited, stands_still, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .yard import Run, Yard

STUBBORN = "trap '' INT TERM HUP; echo ready; while :; do sleep 0.05; done"


async def stop(run: Run) -> None:
    assert run.attempt.request_stop("test")


async def test_the_agents_own_way_comes_first(yard: Yard) -> None:
    run = await yard.sh("trap 'echo bye; exit 5' INT; echo ready; while :; do sleep 0.02; done")
    await run.says("ready")
    await stop(run)
    end = await run.exit()
    assert end.stopped and end.exit_code == 5 and "bye" in run.output()


async def test_another_signal_may_be_its_way(yard: Yard) -> None:
    run = await yard.sh(
        "trap 'exit 6' USR1; trap '' INT; echo ready; while :; do sleep 0.02; done", stop_signal=signal.SIGUSR1
    )
    await run.says("ready")
    await stop(run)
    assert (await run.exit()).exit_code == 6


async def test_term_follows_the_grace(yard: Yard) -> None:
    run = await yard.sh(
        "trap '' INT; trap 'exit 8' TERM; echo ready; while :; do sleep 0.02; done", stop_grace_s=0.1
    )
    await run.says("ready")
    await stop(run)
    assert (await run.exit()).exit_code == 8


async def test_what_was_stopped_by_a_signal_is_asked_too(yard: Yard) -> None:
    run = await yard.sh("trap 'echo bye; exit 9' INT; kill -STOP $$", stop_grace_s=60)
    await until(lambda: any(map(stands_still, run.tree())))
    await stop(run)
    end = await run.exit()
    assert end.stopped and end.exit_code == 9 and run.output() == "bye\n"


async def test_the_stubborn_are_gone_within_five_seconds(yard: Yard) -> None:
    # A daemon of its own session and group, orphaned, deaf to everything, and without the mark.
    said = STUBBORN.replace("ready", "daemon \\$\\$")  # its own pid, and not that of the shell around it
    daemon = f'setsid env -i sh -c "{said}" & wait'
    run = await yard.sh(f"({daemon}) & {STUBBORN}", stop_grace_s=60)
    await run.says("ready")
    await run.says("daemon")
    words = run.output().split()
    daemon_pid = int(words[words.index("daemon") + 1])
    assert alive(daemon_pid)
    begun = time.monotonic()
    await stop(run)
    end = await run.exit()
    assert time.monotonic() - begun < 5
    assert end.stopped and end.signal == signal.SIGKILL and end.survivors == 0
    assert not alive(daemon_pid) and not run.tree()


ENDS: dict[str, dict[str, float]] = {
    "exit 0": {},
    "exit 3": {},
    "kill -9 $$": {},
    # long enough for the daemon to be there, and to have said so
    "kill -STOP $$": {"timeout_s": 4, "stop_grace_s": 1.0},
    "sleep 60": {"timeout_s": 4, "stop_grace_s": 1.0},
}


def _daemon(there: Path) -> str:
    """Forks twice, is in a session of its own, hears nothing, has no mark, and holds the pipe; is waited for."""
    said = STUBBORN.replace("echo ready", f"echo \\$\\$; : > {there}")
    return f'(setsid env -i sh -c "{said}" &) ; until test -e {there}; do sleep 0.02; done'


@pytest.fixture
def frozen(yard: Yard) -> Iterator[Path | None]:
    """As `groups.freezer`, for tasks of that yard."""
    with freezer() as group:
        yield group


def _stuck(group: Path) -> str:
    return f"sleep 60 & echo $! > {group}/cgroup.procs; echo FROZEN > {group}/freezer.state; exit 0"


def _held(group: Path) -> str:
    return f"echo $$ > {group}/cgroup.procs; exec sleep 60"


async def test_after_any_end_the_tree_is_gone_within_five_seconds(
    yard: Yard, tmp_path: Path, frozen: Path | None
) -> None:
    stuck = await yard.sh(_stuck(frozen)) if frozen else None
    itself = await yard.sh(_held(frozen), timeout_s=60, stop_grace_s=0.1) if frozen else None
    scripts = [f"{_daemon(tmp_path / str(n))}; {end}" for n, end in enumerate(ENDS)]
    runs = [await yard.sh(script, **options) for script, options in zip(scripts, ENDS.values(), strict=True)]
    if itself is not None and frozen is not None:
        group = frozen
        await until(lambda: len((group / "cgroup.procs").read_text().split()) > 1)
        await until(lambda: (group / "freezer.state").read_text() == "FROZEN\n")
        await stop(itself)
    begun = time.monotonic()
    ends = [await run.exit() for run in runs]
    assert time.monotonic() - begun < 4 + 5
    assert [(end.exit_code, end.signal, end.timed_out, end.survivors) for end in ends] == [
        (0, None, False, 0),
        (3, None, False, 0),
        (None, signal.SIGKILL, False, 0),
        (None, signal.SIGINT, True, 0),
        (None, signal.SIGINT, True, 0),
    ]
    assert not any(alive(int(run.output().split()[0])) or run.tree() for run in runs)
    if stuck is not None and itself is not None:  # which no signal ends: that is told, within the same time
        assert ((await stuck.exit()).exit_code, (await stuck.exit()).survivors) == (0, 1)
        assert (await itself.exit()).exit_code is None and (await itself.exit()).survivors >= 1
        assert time.monotonic() - begun < 4 + 5


async def test_one_that_is_never_the_same_process_twice(yard: Yard, tmp_path: Path) -> None:
    again = tmp_path / "again"
    script = f"trap '' TERM INT HUP; echo x >> {tmp_path}/count; setsid sh {again} & exit 0"
    run = await yard.sh(f"echo \"{script}\" > {again}; sh {again}; echo ready; sleep 60")
    await run.says("ready")
    begun = time.monotonic()
    await stop(run)
    end = await run.exit()
    assert end.stopped and end.survivors == 0 and time.monotonic() - begun < 5
    count = (tmp_path / "count").stat().st_size
    assert not run.tree() and (tmp_path / "count").stat().st_size == count


async def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_end(yard: Yard, tmp_path: Path) -> None:
    there = tmp_path / "there"
    grandchild = f"trap \"\" TERM; echo $$; : > {there}; sleep 60"
    run = await yard.sh(f"setsid sh -c '{grandchild}' & until test -e {there}; do sleep 0.02; done; exit 0")
    end = await run.exit()
    # from the end of the task, as that its grandchild is there is waited for, to when it is told, whoever hears of it
    told_at = (run.attempt.folder / "record").stat().st_mtime * 1000
    assert end.exit_code == 0 and end.survivors == 0 and told_at - end.ended_at < 5000
    assert not alive(int(run.output().split()[0]))


async def test_what_is_left_may_finish(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the second that it is given is none of its own time where the machine is slow
    patient = edited(tmp_path, ("ladder.py", "LINGER_S = 1.0", "LINGER_S = 60.0"))
    monkeypatch.setattr(launcher, "_ENTRY", patient)
    run = await yard.sh("(sleep 0.2; echo late) & exit 0")
    end = await run.exit()
    assert end.exit_code == 0 and run.output() == "late\n"


async def test_a_stop_before_the_start_starts_nothing(yard: Yard, tmp_path: Path) -> None:
    attempt = yard.prepare()
    assert attempt.request_stop()
    spec = yard.spec(attempt, "touch", str(tmp_path / "ran"))
    end = await yard.observe(attempt, await yard.launcher.launch(spec)).exit()
    assert end.stopped and end.error is not None and end.error.kind == "stopped"
    assert not (tmp_path / "ran").exists()


async def test_a_stop_after_the_end_is_no_stop(yard: Yard) -> None:
    run = await yard.sh("exit 0")
    await run.exit()
    assert not run.attempt.request_stop()
    end = await yard.observe(run.attempt).exit()
    assert not end.stopped and end.exit_code == 0


async def test_a_stop_that_was_written_but_not_told_is_told_by_the_next_broker(yard: Yard) -> None:
    run = await yard.sh("echo ready; exec sleep 60")
    await run.says("ready")
    run.watching.cancel()
    with (run.attempt.folder / "record").open("r+b", buffering=0) as file:
        record.write_slot(file.fileno(), record.STOP, {"at": 0, "by": ""}, durable=True)
    end = await yard.observe(run.attempt).exit()
    assert end.stopped and end.signal == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
async def test_signals_of_others_stop_nothing(yard: Yard, number: int) -> None:
    run = await yard.sh("echo ready; sleep 0.3; exit 9")
    await run.says("ready")
    server = yard.launcher.server_pid
    assert server is not None
    for pid in (run.shim, server):
        os.kill(pid, number)
    assert (await run.exit()).exit_code == 9
    assert yard.launcher.server_pid == server


async def test_stopping_takes_along_what_another_process_started(yard: Yard) -> None:
    run = await yard.sh("echo ready; exec sleep 60")
    await run.says("ready")
    mark = {"RELAY_ATTEMPT": run.attempt.folder.name}
    stranger = await asyncio.create_subprocess_exec("sleep", "61", env=mark)
    await stop(run)
    await run.exit()
    assert await stranger.wait() in (-signal.SIGTERM, -signal.SIGKILL)


@pytest.fixture
def leased(tmp_path: Path) -> Iterator[TextIO]:
    """A program whose exec waits for who has a lease on it."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # which says that somebody waits
    with program.open("r+") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield file
    signal.signal(signal.SIGIO, before)


async def test_a_stop_ends_what_is_not_past_its_exec(yard: Yard, leased: TextIO) -> None:
    run = await yard.launch(leased.name)
    await until(lambda: children(run.shim))
    await stop(run)
    await asyncio.to_thread(end_by_force, run.attempt, run.shim)
    end = await run.exit()
    assert end.stopped and end.exit_code is None


async def test_a_start_that_fails_while_it_is_stopped_is_stopped(yard: Yard, leased: TextIO) -> None:
    leased.truncate(0)  # no program
    run = await yard.launch(leased.name)
    await until(lambda: children(run.shim))
    await stop(run)
    leased.close()
    end = await run.exit()
    assert end.stopped and end.error and end.error.kind == "not_executable"


async def test_a_start_whose_shim_and_fork_server_die_is_ended(yard: Yard, leased: TextIO) -> None:
    run = await yard.launch(leased.name)
    await until(lambda: children(run.shim))
    (task,) = children(run.shim)
    server = yard.launcher.server_pid
    assert server
    os.kill(server, signal.SIGKILL)
    os.kill(run.shim, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.SWEEP_AND_LOST, 0)
    assert not alive(task)


async def test_the_time_of_a_task_passes_while_its_exec_does(yard: Yard, leased: TextIO) -> None:
    run = await yard.launch(leased.name, timeout_s=0.1)
    await until(lambda: children(run.shim))
    overdue = Overdue(run.attempt, 0.2 - LATE_S, run.shim)
    end = await run.exit()
    overdue.over()
    assert end.timed_out and end.exit_code is None


TRACER = """import ctypes, os, threading, time
def trace():
    assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0
    time.sleep(60)
threading.Thread(target=trace).start()
"""


async def test_the_time_of_a_task_that_traces_its_shim_passes(yard: Yard) -> None:
    run = await yard.launch(sys.executable, "-I", "-S", "-c", TRACER, timeout_s=1.0)
    await until(lambda: run.watching.done() or ((shim := processes.look_up(run.shim)) and shim.state == "t"))
    if run.watching.done():
        pytest.skip("no process may trace its parent here")
    overdue = Overdue(run.attempt, 1.0 - LATE_S, run.shim)
    end = await run.exit()
    overdue.over()
    assert end.timed_out and end.signal == signal.SIGKILL

"""kill -9 of each process in turn: nothing runs twice, nothing is forgotten, nothing is made up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn.attempt import Attempt, Exited, Vanished
from relay.spawn.launcher import LaunchFenced, NoProcess
from relay.spawn.recovery import Verdict, recover

from .yard import alive, children, until

if TYPE_CHECKING:
    from .yard import Yard

MINI_BROKER = Path(__file__).parent / "mini_broker.py"


async def test_a_killed_shim_takes_its_task_along(yard: Yard) -> None:
    run = await yard.sh("setsid env -i sh -c 'echo $$; sleep 60' & echo ready; sleep 60")
    await run.says("ready")
    await until(lambda: len(run.output().split()) == 2)
    task = (await run.started()).pid
    stray = next(int(word) for word in run.output().split() if word.isdigit())
    os.kill(run.shim, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.SWEEP_AND_LOST, 0)
    assert not alive(task) and not run.tree()
    # Without mark and session only the fork server, which adopted it, can know it.
    await until(lambda: not alive(stray))
    assert recover(run.attempt.folder).verdict is Verdict.SWEEP_AND_LOST


async def test_a_killed_shim_and_a_killed_server_leave_nothing_either(yard: Yard) -> None:
    run = await yard.sh("sh -c 'trap \"\" HUP; echo $$; sleep 60' & env -i sleep 61 & wait")
    await until(lambda: run.output().strip())
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    os.kill(run.shim, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.SWEEP_AND_LOST, 0)
    assert not alive(int(run.output())) and not run.tree()
    await until(lambda: yard.launcher.server_pid is None)
    await yard.launcher.start()


async def test_what_goes_on_without_its_first_thread_is_no_zombie(yard: Yard) -> None:
    leave = "ctypes.CDLL(None).pthread_exit(None)"
    script = f"import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); {leave}"
    run = await yard.launch("sh", "-c", 'setsid "$@" & echo $!; wait', "sh", sys.executable, "-c", script)
    await until(lambda: run.output().strip())
    pid = int(run.output())
    await until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")
    assert alive(pid) and pid in run.tree()
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    os.kill(run.shim, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.SWEEP_AND_LOST, 0)
    assert not alive(pid)
    await until(lambda: yard.launcher.server_pid is None)
    await yard.launcher.start()


async def test_a_killed_fork_server_costs_nothing(yard: Yard) -> None:
    run = await yard.sh("echo ready; sleep 0.3; exit 11")
    await run.says("ready")
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    await until(lambda: yard.launcher.server_pid is None)
    assert (await yard.run("exit 12")).exit_code == 12
    assert (await run.exit()).exit_code == 11
    assert yard.launcher.server_pid not in (None, server)


async def test_a_new_fork_server_gives_tasks_as_many_files_as_the_first(yard: Yard) -> None:
    await yard.launcher.start()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGKILL)
    await until(lambda: yard.launcher.server_pid is None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[0] // 2, limits[1]))  # as good as the raise of a broker
    try:
        run = await yard.sh("ulimit -Sn")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (await run.exit()).exit_code == 0 and run.output() == f"{limits[0]}\n"


async def test_a_want_of_processes_that_passes_costs_no_task(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await yard.launch("/does/not/exist")).exit()  # whose shim is not kept
    server = yard.launcher.server_pid
    assert server is not None
    limits = resource.prlimit(server, resource.RLIMIT_NOFILE)
    resource.prlimit(server, resource.RLIMIT_NOFILE, (3, limits[1]))  # no shim can be made without a line to it
    launching = asyncio.create_task(yard.run("exit 6"))
    await asyncio.sleep(0.1)
    assert not launching.done()
    stopped = yard.prepare()
    stopped.request_stop("test")
    with pytest.raises(NoProcess):  # at once
        await yard.launcher.launch(yard.spec(stopped, "true"))
    assert not launching.done()
    resource.prlimit(server, resource.RLIMIT_NOFILE, limits)
    assert (await launching).exit_code == 6
    monkeypatch.setattr("relay.spawn.launcher.PATIENCE_S", 0)
    for shim in children(server):  # which is free, or will be when it has said so
        with contextlib.suppress(ProcessLookupError):  # the one that is not kept goes by itself
            os.kill(shim, signal.SIGKILL)
    await until(lambda: not children(server))
    resource.prlimit(server, resource.RLIMIT_NOFILE, (3, limits[1]))
    with pytest.raises(NoProcess, match="Too many open files"):
        await yard.sh("exit 7")


async def test_a_fork_server_without_files_stays_and_kills_what_is_left_once_it_has_some(yard: Yard) -> None:
    server, stray, limits = await _a_stray_that_cannot_be_found(yard)
    stopped = yard.prepare()
    stopped.request_stop("test")
    with pytest.raises(NoProcess):  # it answers meanwhile
        await yard.launcher.launch(yard.spec(stopped, "true"))
    assert alive(stray)
    resource.prlimit(server, resource.RLIMIT_NOFILE, limits)
    await until(lambda: not alive(stray))
    assert (await yard.run("exit 6")).exit_code == 6 and yard.launcher.server_pid == server


async def test_a_fork_server_without_files_stays_for_what_is_left_though_its_broker_leaves(yard: Yard) -> None:
    server, stray, limits = await _a_stray_that_cannot_be_found(yard)
    await yard.launcher.close()
    assert alive(server) and alive(stray)
    resource.prlimit(server, resource.RLIMIT_NOFILE, limits)
    await until(lambda: not alive(stray) and not alive(server))


async def _a_stray_that_cannot_be_found(yard: Yard) -> tuple[int, int, tuple[int, int]]:
    """Of a killed shim, with a fork server that can read of no process: server, stray, how many files it may have."""
    run = await yard.sh("(setsid env -i sh -c 'echo $$; sleep 60' &); sleep 60")
    await until(lambda: run.output().strip())
    server = yard.launcher.server_pid
    assert server is not None
    limits = resource.prlimit(server, resource.RLIMIT_NOFILE)
    resource.prlimit(server, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(run.shim, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.SWEEP_AND_LOST, 0)
    await until(lambda: run.shim not in children(server))  # its end was taken in
    return server, int(run.output()), limits


async def test_an_answer_that_was_lost_is_never_asked_for_again(yard: Yard, tmp_path: Path) -> None:
    await yard.launcher.start()
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    attempt = yard.prepare()
    spec = yard.spec(attempt, "touch", str(tmp_path / "ran"))
    launch = asyncio.create_task(yard.launcher.launch(spec))
    await asyncio.sleep(0)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(LaunchFenced):
        await launch
    # The same folder, asked for once more: the shim finds the fence.
    end = await yard.observe(attempt, await yard.launcher.launch(spec)).end()
    assert end == Vanished(Verdict.FENCE_AND_REQUEUE, 0)
    assert not (tmp_path / "ran").exists()


async def test_a_fork_server_that_says_nothing_is_replaced(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await yard.sh("echo ready; sleep 0.5; exit 16")
    await running.says("ready")
    server = yard.launcher.server_pid
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    with monkeypatch.context() as soon, pytest.raises(LaunchFenced):
        soon.setattr("relay.spawn.launcher.SILENT_S", 0.2)
        await yard.launcher.launch(yard.spec(yard.prepare(), "touch", str(tmp_path / "ran")))
    assert (await yard.run("exit 12")).exit_code == 12
    assert (await running.exit()).exit_code == 16
    assert yard.launcher.server_pid not in (None, server) and not (tmp_path / "ran").exists()


async def test_a_second_launch_of_one_attempt_runs_nothing(yard: Yard, tmp_path: Path) -> None:
    attempt = yard.prepare()
    spec = yard.spec(attempt, "sh", "-c", f"echo ran >> {tmp_path}/ran")
    shims = await asyncio.gather(*(yard.launcher.launch(spec) for _ in range(8)))
    ends = await asyncio.gather(*(yard.observe(attempt, shim).end() for shim in shims))
    assert all(isinstance(end, Exited) and end.record.exit_code == 0 for end in ends)
    assert (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.parametrize("ends_before", [True, False])
async def test_a_killed_broker_learns_the_exit_code_later(
    yard: Yard, tmp_path: Path, ends_before: bool
) -> None:
    name = f"{os.urandom(8).hex()}-1"
    yard.names.append(name)
    go = tmp_path / "go"
    looks = "for n in 3 4 5 6 7 8 9; do test -e /proc/self/fd/$n && echo $n; done"
    script = f"{looks}; echo ready; until test -e {go}; do sleep 0.02; done; exit 13"
    # whatever it was given itself, its tasks have not: a lock would be held for as long as one of them runs
    given = ("sh", "-c", 'exec 3>&1 4>&1 5>&1 "$@"', "sh", sys.executable, str(MINI_BROKER))
    broker = await asyncio.create_subprocess_exec(
        *given, str(yard.root), name, script, stdout=asyncio.subprocess.PIPE
    )
    assert broker.stdout is not None
    shim, server = map(int, (await broker.stdout.readline()).split())
    attempt = Attempt(yard.root / name)
    await until(lambda: attempt.read().started)
    broker.kill()
    await broker.wait()
    assert alive(server) and recover(attempt.folder).verdict is Verdict.REATTACH
    if ends_before:
        go.touch()
        await until(lambda: not alive(shim))
        assert recover(attempt.folder).verdict is Verdict.TERMINAL
    run = yard.observe(attempt)
    await run.says("ready")
    go.touch()
    assert (await run.exit()).exit_code == 13 and run.output() == "ready\n"
    await until(lambda: not alive(server))


async def test_the_timeout_is_kept_without_a_broker(yard: Yard) -> None:
    run = await yard.sh("echo ready; sleep 60", timeout_s=2)
    await run.says("ready")
    run.watching.cancel()
    server = yard.launcher.server_pid
    assert server is not None
    # To the fork server the broker is gone; it stays for its shim, then leaves.
    await yard.launcher.close()
    await until(lambda: run.attempt.read().exit)
    end = run.attempt.read().exit
    assert end is not None and end.timed_out
    await until(lambda: not alive(server))
    yard.reap(server)


async def test_who_asked_twice_still_hears_the_end(yard: Yard) -> None:
    run = await yard.sh("echo ready; read line; exit 14", stdin=b"")
    refused = yard.spec(run.attempt, "true")
    second = yard.observe(run.attempt, await yard.launcher.launch(refused))
    # whichever shim took the lock first, it ran alone, and both who watch hear of its end
    ends = {(await second.exit()).exit_code, (await run.exit()).exit_code}
    assert ends in ({14}, {0})


async def test_a_refused_shim_does_not_end_the_observation(yard: Yard) -> None:
    run = await yard.sh("echo ready; sleep 0.4; exit 15")
    await run.says("ready")
    second = await yard.launcher.launch(yard.spec(run.attempt, "true"))
    await until(lambda: not alive(second))
    assert (await yard.observe(run.attempt, second).exit()).exit_code == 15


async def test_a_prepared_attempt_that_was_never_launched_is_fenced(yard: Yard) -> None:
    attempt = yard.prepare()
    assert await yard.observe(attempt).end() == Vanished(Verdict.FENCE_AND_REQUEUE, 0)
    assert attempt.read().fenced


async def test_a_killed_shim_s_tree_is_gone_though_it_never_stands_still(yard: Yard, tmp_path: Path) -> None:
    again = tmp_path / "again"
    script = f"trap '' TERM INT HUP; echo x >> {tmp_path}/count; setsid sh {again} & exit 0"
    run = await yard.sh(f'echo "{script}" > {again}; sh {again}; echo ready; sleep 60')
    await run.says("ready")
    os.kill(run.shim, signal.SIGKILL)
    assert await run.end() == Vanished(Verdict.SWEEP_AND_LOST, 0)
    # it was there between any two looks, so that one look proves nothing
    await until(lambda: not any(run.tree() for _ in range(20)), 5)

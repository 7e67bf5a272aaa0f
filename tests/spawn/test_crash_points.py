"""kill -9 of the shim or the fork server at each system call that matters, by strace.

Wherever it strikes, the task has started at most once, and the verdict never claims more or less than that.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn.attempt import Attempt, Exited, Vanished
from relay.spawn.launcher import LaunchFenced
from relay.spawn.recovery import Verdict, recover
from relay.spawn.shim import processes

from .yard import children, holds, until

if TYPE_CHECKING:
    from .yard import Yard

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")

REQUEUED = Verdict.FENCE_AND_REQUEUE
LOST = Verdict.SWEEP_AND_LOST
DONE = Verdict.TERMINAL
SHIM = [
    ("set_robust_list", 1, REQUEUED),  # just forked
    ("flock", 1, REQUEUED),
    ("pipe2", 5, REQUEUED),  # not forked, not promised
    ("pwrite64", 1, REQUEUED),  # forked, the intent is not written
    ("fdatasync", 1, LOST),  # written; the machine stays up, so it counts
    ("pwrite64", 2, LOST),  # promised, not noted
    ("write", 1, LOST),  # noted, not released
    ("ioctl", 4, LOST),  # released
    ("pwrite64", 3, LOST),  # past exec, start not noted
    ("pwrite64", 4, LOST),  # output
    ("wait4", 1, LOST),  # ended, not reaped
    ("fdatasync", 2, LOST),  # the log
    ("pwrite64", 5, LOST),  # the exit record is not written
    ("fdatasync", 3, DONE),  # written; the machine stays up, so it counts
    ("write", 3, DONE),  # all is over, and it is about to be free
]
# A shim that is kept has forked the child, with its pipes, before it has a launch, and tells it what to become.
_BEFORE = {"ioctl": -2, "write": 1}
KEPT = [
    *((call, when + _BEFORE.get(call, 0), end) for call, when, end in SHIM if call not in ("set_robust_list", "pipe2")),
    ("write", 1, REQUEUED),  # the child is not told
]
SERVER = [
    ("recvfrom", 1, {REQUEUED}),
    ("clone", 1, {REQUEUED}),
    # The shim is there and the answer is not: whoever takes the lock first decides.
    ("sendto", 1, {REQUEUED, DONE, LOST}),
]


async def _trace(yard: Yard, call: str, when: int, *, kept: bool) -> asyncio.subprocess.Process:
    # A server that has served and reaped is past the calls that it makes itself.
    server, shim = await _served(yard)
    if not kept:
        fallen = [shim, *children(shim)]  # its child is the server's to reap
        os.kill(shim, signal.SIGKILL)
        await until(lambda: not any(map(processes.look_up, fallen)))
    # Counted for each process by itself, the server, the shim and the task.
    tracer = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"),
        *("-e", f"inject={call}:signal=SIGKILL:when={when}"),
        *("-p", str(shim if kept else server)),
    )
    await until(lambda: f"TracerPid:\t{tracer.pid}" in _status(shim if kept else server))
    return tracer


async def _served(yard: Yard) -> tuple[int, int]:
    """The fork server, and a shim that has ended an attempt and waits for the next."""
    run = await yard.sh("exit 0", ahead=True)
    await run.exit()
    server = yard.launcher.server_pid
    assert server is not None
    await until(lambda: not holds(run.shim, run.attempt.folder) and children(run.shim))
    return server, run.shim


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return ""


async def _untrace(tracer: asyncio.subprocess.Process) -> None:
    if tracer.returncode is None:
        tracer.terminate()
    await tracer.wait()


async def _run(yard: Yard, attempt: Attempt, ran: Path) -> Exited | Vanished:
    spec = yard.spec(attempt, "sh", "-c", f"echo ran >> {ran}; echo out; sleep 0.05")
    try:
        shim = await yard.launcher.launch(spec)
    except LaunchFenced:
        shim = None
    return await yard.observe(attempt, shim).end()


async def _run_traced(yard: Yard, ran: Path, call: str, when: int, *, kept: bool = False) -> Verdict:
    """The verdict on an attempt during which the fork server or the shim was killed."""
    attempt = yard.prepare()
    tracer = await _trace(yard, call, when, kept=kept)
    try:
        end = await _run(yard, attempt, ran)
    finally:
        await _untrace(tracer)
    verdict = recover(attempt.folder).verdict
    assert verdict is (Verdict.TERMINAL if isinstance(end, Exited) else end.verdict)
    _check_truth(end, ran)
    return verdict


def _check_truth(end: Exited | Vanished, ran: Path) -> None:
    times = ran.read_text().count("ran\n") if ran.exists() else 0
    assert times <= 1
    if isinstance(end, Exited):
        assert times and end.record.exit_code == 0
    if isinstance(end, Vanished) and end.verdict is Verdict.FENCE_AND_REQUEUE:
        assert not times


@pytest.mark.parametrize(("call", "when", "verdict"), SHIM)
async def test_the_shim_dies_at(yard: Yard, tmp_path: Path, call: str, when: int, verdict: Verdict) -> None:
    assert await _run_traced(yard, tmp_path / "ran", call, when) is verdict


@pytest.mark.parametrize(("call", "when", "verdict"), KEPT)
async def test_a_shim_dies_in_its_second_attempt_at(
    yard: Yard, tmp_path: Path, call: str, when: int, verdict: Verdict
) -> None:
    assert await _run_traced(yard, tmp_path / "ran", call, when, kept=True) is verdict
    assert (await yard.run("exit 3")).exit_code == 3


@pytest.mark.parametrize(("call", "when", "verdicts"), SERVER)
async def test_the_fork_server_dies_at(
    yard: Yard, tmp_path: Path, call: str, when: int, verdicts: set[Verdict]
) -> None:
    assert await _run_traced(yard, tmp_path / "ran", call, when) in verdicts
    assert (await yard.run("exit 3")).exit_code == 3

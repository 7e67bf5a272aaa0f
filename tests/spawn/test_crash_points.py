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
from relay.testing.tracer import traced

from .yard import alive, children, holds, until

if TYPE_CHECKING:
    from .yard import Yard

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")

REQUEUED = Verdict.FENCE_AND_REQUEUE
LOST = Verdict.SWEEP_AND_LOST
DONE = Verdict.TERMINAL
SHIM = [
    ("set_robust_list", 1, REQUEUED),  # just forked
    ("flock", 1, REQUEUED),
    ("pipe2", 3, REQUEUED),  # what the task needs is not there, nothing is promised
    ("pwrite64", 1, REQUEUED),  # it is there, the intent is not written
    ("fdatasync", 1, LOST),  # written; the machine stays up, so it counts
    ("pwrite64", 2, LOST),  # past exec, and its pid is not noted
    ("ioctl", 4, LOST),  # noted
    ("pwrite64", 3, LOST),  # start not noted
    ("pwrite64", 4, LOST),  # output
    ("write", 1, LOST),  # ended, and it is being told so
    ("wait4", 1, LOST),  # not reaped
    ("fdatasync", 2, LOST),  # the log
    ("pwrite64", 5, LOST),  # the exit record is not written
    ("write", 2, DONE),  # written, and it is about to be free; the machine stays up, so it counts
    ("fdatasync", 3, DONE),  # free
]
_POLL = {"x86_64": "7", "aarch64": "73"}.get(os.uname().machine)
# What a shim does once for all that it runs is behind one that is kept.
_BEFORE = {"ioctl": -2, "pipe2": -1}
KEPT = [(call, when + _BEFORE.get(call, 0), end) for call, when, end in SHIM if call != "set_robust_list"]
SERVER = [
    ("recvfrom", 1, {REQUEUED}),
    ("clone", 1, {REQUEUED}),
    # The shim is there and the answer is not: whoever takes the lock first decides.
    ("sendto", 1, {REQUEUED, DONE, LOST}),
]


async def _victim(yard: Yard, *, kept: bool) -> int:
    # A server that has served and reaped is past the calls that it makes itself.
    server, shim = await _served(yard)
    if kept:
        return shim
    os.kill(shim, signal.SIGKILL)
    await until(lambda: processes.look_up(shim) is None and _polls(server))
    return server


def _polls(pid: int) -> bool:
    """Whether it is back in its poll: it makes calls of its own for what a shim that was killed may have left."""
    return _POLL is None or Path(f"/proc/{pid}/syscall").read_text().split()[0] == _POLL


def _injected(calls: str, how: str) -> list[str]:
    return ["-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]


async def _served(yard: Yard) -> tuple[int, int]:
    """The fork server, and a shim that has ended an attempt and waits for the next."""
    run = await yard.sh("exit 0", ahead=True)
    await run.exit()
    server = yard.launcher.server_pid
    assert server is not None
    await until(lambda: not holds(run.shim, run.attempt.folder))
    return server, run.shim


async def _run(yard: Yard, attempt: Attempt, ran: Path) -> Exited | Vanished:
    # a process each that writes: calls are counted for each process, and the shim's second one matters
    spec = yard.spec(attempt, "sh", "-c", f"(echo ran >> {ran}); (echo out); sleep 0.05")
    try:
        shim = await yard.launcher.launch(spec)
    except LaunchFenced:
        shim = None
    return await yard.observe(attempt, shim).end()


async def _run_traced(yard: Yard, ran: Path, call: str, when: int, *, kept: bool = False) -> Verdict:
    """The verdict on an attempt during which the fork server or the shim was killed."""
    attempt = yard.prepare()
    victim = await _victim(yard, kept=kept)
    with traced(victim, "-f", *_injected(call, f"signal=SIGKILL:when={when}")):  # counted for each process by itself
        end = await _run(yard, attempt, ran)
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


async def test_the_shim_dies_while_its_task_becomes_the_command(yard: Yard, tmp_path: Path) -> None:
    """The child has the shim's memory, its lock and no mark until then: nobody may look for it too early."""
    _, shim = await _served(yard)
    with traced(shim, "-f", *_injected("execve", "delay_enter=60000000")):
        running = asyncio.create_task(_run(yard, yard.prepare(), tmp_path / "ran"))
        await until(lambda: children(shim))
        (task,) = children(shim)
        os.kill(shim, signal.SIGKILL)
        assert await running == Vanished(LOST, 0)
    assert not alive(task)
    _check_truth(await running, tmp_path / "ran")
    assert (await yard.run("exit 3")).exit_code == 3


async def test_where_no_process_is_to_be_had_for_a_moment_it_is_waited_for(yard: Yard, tmp_path: Path) -> None:
    _, shim = await _served(yard)
    with traced(shim, *_injected("clone,clone3,vfork", "error=EAGAIN:when=1..3")):
        end = await _run(yard, yard.prepare(), tmp_path / "ran")
    assert isinstance(end, Exited)
    _check_truth(end, tmp_path / "ran")

"""kill -9 of the shim or the fork server at each system call that matters, by strace.

Wherever it strikes, the task has started at most once, and the verdict never claims more or less than that.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from relay.spawn.attempt import Exited, Vanished
from relay.spawn.launcher import LaunchFenced
from relay.spawn.recovery import Verdict, recover

from .yard import until

if TYPE_CHECKING:
    from pathlib import Path

    from .yard import Yard

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace: apt-get install strace"
)

SHIM = [
    ("setsid", 1),  # before the lock
    ("flock", 1),
    ("pwrite64", 1),  # the intent is not written
    ("fdatasync", 1),  # written, not durable
    ("pipe2", 2),
    ("clone", 1),  # promised, not forked
    ("pwrite64", 2),  # forked, not noted
    ("write", 1),  # noted, not released
    ("pwrite64", 3),  # released, start not noted
    ("wait4", 1),  # ended, not reaped
    ("pwrite64", 4),  # output
    ("pwrite64", 5),  # the exit record
    ("fdatasync", 2),
    ("fdatasync", 3),
    ("exit_group", 1),
]


async def _trace(yard: Yard, call: str, when: int) -> asyncio.subprocess.Process:
    await yard.launcher.start()
    server = yard.launcher.server_pid
    assert server is not None
    tracer = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"),
        *("-e", f"inject={call}:signal=SIGKILL:when={when}", "-p", str(server)),
    )
    await until(lambda: f"TracerPid:\t{tracer.pid}" in _status(server))
    return tracer


def _status(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/status") as source:
            return source.read()
    except FileNotFoundError:
        return ""


async def _untrace(tracer: asyncio.subprocess.Process) -> None:
    if tracer.returncode is None:
        tracer.terminate()
    await tracer.wait()


@pytest.mark.parametrize(("call", "when"), SHIM, ids=lambda value: str(value))
async def test_the_shim_dies_at(yard: Yard, tmp_path: Path, call: str, when: int) -> None:
    ran = tmp_path / "ran"
    attempt = yard.prepare()
    tracer = await _trace(yard, call, when)
    try:
        spec = yard.spec(attempt, "sh", "-c", f"echo ran >> {ran}; echo out; sleep 0.05")
        shim = await _launched(yard, attempt, spec)
        end = await yard.observe(attempt, shim).end()
    finally:
        await _untrace(tracer)
    _check(yard, attempt, end, ran.read_text() if ran.exists() else "")


@pytest.mark.parametrize(("call", "when"), [("recvfrom", 1), ("clone", 1), ("sendto", 1), ("wait4", 1)])
async def test_the_fork_server_dies_at(yard: Yard, tmp_path: Path, call: str, when: int) -> None:
    ran = tmp_path / "ran"
    attempt = yard.prepare()
    tracer = await _trace(yard, call, when)
    try:
        spec = yard.spec(attempt, "sh", "-c", f"echo ran >> {ran}; echo out; sleep 0.05")
        shim = await _launched(yard, attempt, spec)
        end = await yard.observe(attempt, shim).end()
    finally:
        await _untrace(tracer)
    _check(yard, attempt, end, ran.read_text() if ran.exists() else "")
    assert (await yard.run("exit 3")).exit_code == 3


async def _launched(yard: Yard, attempt: object, spec: object) -> int | None:
    try:
        return await yard.launcher.launch(spec)  # type: ignore[arg-type]
    except LaunchFenced:
        return None


def _check(yard: Yard, attempt: object, end: Exited | Vanished, ran: str) -> None:
    from relay.spawn.attempt import Attempt

    assert isinstance(attempt, Attempt)
    assert ran in ("", "ran\n")
    again = recover(attempt.folder).verdict
    if isinstance(end, Exited):
        assert end.record.exit_code == 0 and ran and again is Verdict.TERMINAL
    elif end.verdict is Verdict.FENCE_AND_REQUEUE:
        assert not ran and again is Verdict.FENCE_AND_REQUEUE
    else:
        assert end.verdict is Verdict.SWEEP_AND_LOST and again is Verdict.SWEEP_AND_LOST
    assert os.path.exists(attempt.folder)

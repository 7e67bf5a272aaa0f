"""An exit record goes to the disk unless the broker has written down the same, and holds up nothing meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn.attempt import Attempt
from relay.spawn.shim.folder import RECORD, TOKEN
from relay.testing.tracer import traced

from .yard import alive, holds, until

if TYPE_CHECKING:
    from .yard import Run, Yard

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")
INTENT = 1
INTENT_AND_EXIT = 2
SHIM = """
import os, signal, sys
from relay.spawn.shim import cgroups, crew, spec, wakeup
launch = spec.unpack(bytearray(sys.stdin.buffer.read()))
wakeup.catch((signal.SIGCHLD, signal.SIGTERM))
sys.exit(crew.work(launch, int(sys.argv[1]), wakeup.Wakeup(), cgroups.Kills(os.getpid())))
"""


def _traced(pid: int, into: Path) -> contextlib.AbstractContextManager[None]:
    return traced(pid, "-f", "-y", "-o", str(into), "-e", "trace=fdatasync,execve")


async def _free_shim(yard: Yard) -> int:
    run = await yard.sh("true")
    await run.exit()
    await until(lambda: not holds(run.shim, run.attempt.folder))
    return run.shim


async def _launched(yard: Yard, attempt: Attempt, script: str, *, durable: bool = True) -> Run:
    spec = yard.spec(attempt, "sh", "-c", script, durable=durable)
    return yard.observe(attempt, await yard.launcher.launch(spec))


def _syncs(trace: Path, attempt: Attempt) -> int:
    return trace.read_text().count(f"<{attempt.folder}/{RECORD}>")


async def test_an_end_that_the_broker_has_not_written_down_is_on_the_disk_soon(yard: Yard, tmp_path: Path) -> None:
    shim, trace, attempt = await _free_shim(yard), tmp_path / "trace", yard.prepare()
    (attempt.folder / TOKEN).write_text("its secret")
    with _traced(shim, trace):
        run = await _launched(yard, attempt, "exit 3")
        assert (run.shim, (await run.exit()).exit_code) == (shim, 3)
        await until(lambda: not holds(shim, attempt.folder))
    assert _syncs(trace, attempt) == INTENT_AND_EXIT


@pytest.mark.parametrize("over", ["", " " * 32])
async def test_an_end_that_the_broker_has_written_down_is_not_written_again(
    yard: Yard, tmp_path: Path, over: str
) -> None:
    shim, trace, attempt = await _free_shim(yard), tmp_path / "trace", yard.prepare()
    (attempt.folder / TOKEN).write_text(over)
    with _traced(shim, trace):
        run = await _launched(yard, attempt, "exit 3")
        assert (run.shim, (await run.exit()).exit_code) == (shim, 3)
        await until(lambda: not holds(shim, attempt.folder))
    assert _syncs(trace, attempt) == INTENT


async def test_a_promise_waits_for_the_disk_only_where_it_has_to(yard: Yard, tmp_path: Path) -> None:
    shim, trace, attempt = await _free_shim(yard), tmp_path / "trace", yard.prepare()
    (attempt.folder / TOKEN).write_text(" " * 32)
    with _traced(shim, trace):
        run = await _launched(yard, attempt, "exit 3", durable=False)
        assert (run.shim, (await run.exit()).exit_code) == (shim, 3)
        await until(lambda: not holds(shim, attempt.folder))
    assert _syncs(trace, attempt) == 0


def _shim(line: int, first: bytes) -> subprocess.Popen[bytes]:
    """A shim by itself, whose fork server the test plays at the other end of its line."""
    shim = subprocess.Popen([sys.executable, "-c", SHIM, str(line)], stdin=subprocess.PIPE, pass_fds=(line,))
    assert shim.stdin is not None
    shim.stdin.write(first)
    return shim


async def test_the_next_task_of_a_shim_does_not_keep_an_end_from_the_disk(yard: Yard, tmp_path: Path) -> None:
    trace, first, second = tmp_path / "trace", yard.prepare(), yard.prepare()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        shim = _shim(theirs.fileno(), yard.spec(first, "true").packed(1))
        ours.sendall(yard.spec(second, "sh", "-c", "echo there; exec sleep 60").packed(2))
        with _traced(shim.pid, trace):
            shim.stdin.close()  # type: ignore[union-attr]
            run = yard.observe(second, shim.pid)
            await run.says("there")
            await until(lambda: _syncs(trace, first) == INTENT_AND_EXIT)
            assert second.request_stop()
            await run.exit()
            ours.close()
            assert await asyncio.to_thread(shim.wait) == 0


async def test_who_goes_leaves_no_end_behind(yard: Yard, tmp_path: Path) -> None:
    shim, trace, attempt = await _free_shim(yard), tmp_path / "trace", yard.prepare()
    with _traced(shim, trace):
        run = await _launched(yard, attempt, "true")
        await run.exit()
        await yard.launcher.close()
        await until(lambda: not alive(shim))
        await until(lambda: _syncs(trace, attempt) == INTENT_AND_EXIT)

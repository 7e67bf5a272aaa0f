"""Limits are kept by the kernel or the task does not run; what memory ended is told apart from any other end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn import transcript
from relay.spawn.attempt import Attempt
from relay.spawn.shim import spec as wire

from .groups import limit, memory_group, stand_in
from .yard import ENVIRONMENT, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .yard import Yard

MIB = 1 << 20
MINI_BROKER = Path(__file__).parent / "mini_broker.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


@pytest.fixture
def group() -> Iterator[Path]:
    with memory_group() as made:
        yield made


@pytest.fixture
def path(tmp_path: Path, group: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment in which a systemd is there for the task's limits."""
    binaries = stand_in(tmp_path, group)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    return ENVIRONMENT | {"PATH": f"{binaries}:{ENVIRONMENT['PATH']}"}


def replace(path: dict[str, str], script: str) -> None:
    """Act `systemd-run` out by another script."""
    Path(path["PATH"].split(":")[0], "systemd-run").write_text(script)


@linux
async def test_a_task_within_its_limit_is_as_any_other(yard: Yard, path: dict[str, str]) -> None:
    run = await yard.sh("env | sort; ls /proc/self/fd; exit 7", env=path, memory=64 * MIB, stdin=b"")
    end = await run.exit()
    assert (end.exit_code, end.error, end.oom) == (7, None, False)
    words = run.output().split()
    assert f"RELAY_ATTEMPT={run.attempt.folder.name}" in words and words[-4:-1] == ["0", "1", "2"]
    # nothing of the way into the scope is left in its environment
    assert not any(word.startswith("XDG_RUNTIME_DIR") for word in words)
    assert (await run.started()).pid and run.attempt.read().started


@linux
async def test_a_task_beyond_its_limit_says_so(yard: Yard, path: dict[str, str]) -> None:
    end = await yard.run("exec tail /dev/zero", env=path, memory=32 * MIB)
    assert (end.signal, end.oom, end.exit_code) == (signal.SIGKILL, True, None)


@linux
async def test_a_child_beyond_the_limit_is_why_its_parent_fails(yard: Yard, path: dict[str, str]) -> None:
    end = await yard.run("tail /dev/zero; exit 3", env=path, memory=32 * MIB)
    assert (end.exit_code, end.oom) == (3, True)
    end = await yard.run("tail /dev/zero; exit 0", env=path, memory=32 * MIB)
    assert (end.exit_code, end.oom) == (0, False)


@linux
async def test_a_limit_that_leaves_no_room_to_start(yard: Yard, path: dict[str, str], tmp_path: Path) -> None:
    end = await yard.run(f"touch {tmp_path}/ran", env=path, memory=2 * MIB)
    assert end.error is not None and end.error.kind == "no_limits" and "no room" in end.error.text
    assert not (tmp_path / "ran").exists()


@linux
async def test_other_ends_are_not_blamed_on_memory(yard: Yard, path: dict[str, str]) -> None:
    end = await yard.run("kill -9 $$", env=path, memory=32 * MIB)
    assert (end.signal, end.oom) == (signal.SIGKILL, False)
    end = await yard.run("kill -9 $$")
    assert (end.signal, end.oom) == (signal.SIGKILL, False)
    end = await yard.run("sleep 9", env=path, memory=32 * MIB, timeout_s=0.3)
    assert end.timed_out and not end.oom


@linux
async def test_a_missing_program_is_still_told_as_such(yard: Yard, path: dict[str, str]) -> None:
    end = await (await yard.launch("no-such-agent", env=path, memory=64 * MIB)).exit()
    assert end.error is not None and end.error.kind == "not_found"


@linux
async def test_the_tree_is_stopped_in_its_scope_too(yard: Yard, path: dict[str, str]) -> None:
    script = "trap '' TERM INT; setsid sh -c 'trap \"\" TERM; sleep 60' & echo ready; sleep 60"
    run = await yard.sh(script, env=path, memory=64 * MIB)
    await run.says("ready")
    await asyncio.to_thread(run.attempt.request_stop, "a test")
    end = await run.exit()
    assert end.stopped and end.survivors == 0 and not run.tree()


@linux
async def test_a_limit_that_nobody_keeps_is_no_limit(yard: Yard, path: dict[str, str], tmp_path: Path) -> None:
    """A manager without the controller makes the scope and passes over the limit in silence."""
    replace(path, '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    run = await yard.sh(f"touch {tmp_path}/ran", env=path, memory=64 * MIB)
    end = await run.exit()
    assert end.error is not None and (end.error.kind, end.exit_code) == ("no_limits", None)
    assert "keeps no limit of memory" in end.error.text and not (tmp_path / "ran").exists()
    assert run.attempt.read().started is None


@linux
async def test_a_manager_that_refuses_is_quoted_in_the_log(yard: Yard, path: dict[str, str], tmp_path: Path) -> None:
    replace(path, "#!/bin/sh\necho 'Failed to connect to bus: No medium found' >&2; exit 1\n")
    run = await yard.sh(f"touch {tmp_path}/ran", env=path, cpus=1.5)
    end = await run.exit()
    assert end.error is not None and end.error.kind == "no_limits"
    assert "No medium found" in run.output(1) and not (tmp_path / "ran").exists()


async def test_without_a_manager_nothing_runs(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for environment in (ENVIRONMENT, ENVIRONMENT | {"PATH": "/nowhere"}):
        run = await yard.launch("/usr/bin/touch", f"{tmp_path}/ran", env=environment, cpus=1.0)
        end = await run.exit()
        assert end.error is not None and end.error.kind == "no_limits" and end.error.text
    assert not (tmp_path / "ran").exists()


@linux
async def test_out_of_memory_without_limits_of_its_own(yard: Yard, group: Path) -> None:
    """The broker's own group runs full, as a machine does: the task that the kernel picked says so."""
    limit(group, 160 * MIB)
    name = f"{os.urandom(8).hex()}-1"
    yard.names.append(name)
    enter = f'echo $$ > {group}/cgroup.procs; exec {sys.executable} {MINI_BROKER} "$@"'
    script = "echo 1000 > /proc/self/oom_score_adj; exec tail /dev/zero"
    broker = await asyncio.create_subprocess_exec(
        "sh", "-c", enter, "sh", str(yard.root), name, script, stdout=asyncio.subprocess.PIPE
    )
    attempt = Attempt(yard.root / name)
    await until(lambda: attempt.read().exit, 20)
    broker.kill()
    await broker.wait()
    end = attempt.read().exit
    assert end is not None and (end.signal, end.oom) == (signal.SIGKILL, True)
    assert transcript.tail_text(attempt.log, 100) == ""


def test_a_launch_of_another_version_is_understood_or_refused() -> None:
    plain: dict[str, object] = {
        **{"serial": 1, "folder": "/a/b", "argv": ["true"], "env": {}, "cwd": "/", "timeout_s": None},
        **{"stop_signal": 2, "stop_grace_s": 2.0, "log_limit": 1, "has_stdin": False},
    }
    known = wire.unpack(bytearray(wire.pack(plain | {"colour": "blue"}, b"")))
    assert known is not None and known.fault() is None
    needed = wire.unpack(bytearray(wire.pack(plain | {"colour": "blue", "needs": ["colour"]}, b"")))
    assert needed is not None and "colour" in (needed.fault() or "")

"""The machine is kept awake for as long as the task runs and no longer, or it is said why not."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn.attempt import Vanished

from .yard import ENVIRONMENT, alive, until

if TYPE_CHECKING:
    from .yard import Yard

HOLDS = """\
#!/bin/sh
# `systemd-inhibit`, acted out: the lock is a file that names the holder
while [ "${1#--}" != "$1" ]; do shift; done
echo $$ > "$LOCK.$$"; mv "$LOCK.$$" "$LOCK"
"$@"
rm "$LOCK"
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="acts out systemd-inhibit")


def acted_out(folder: Path, script: str) -> dict[str, str]:
    """An environment with this in place of `systemd-inhibit`."""
    program = folder / "systemd-inhibit"
    program.write_text(script.replace("$LOCK", f"{folder}/lock"))
    program.chmod(0o755)
    return ENVIRONMENT | {"PATH": f"{folder}:{ENVIRONMENT['PATH']}"}


async def test_the_lock_is_held_from_the_start_to_the_end(yard: Yard, tmp_path: Path) -> None:
    run = await yard.sh(f"cat {tmp_path}/lock; exit 7", env=acted_out(tmp_path, HOLDS), keep_awake=True)
    end = await run.exit()
    assert (end.exit_code, end.not_awake, end.survivors) == (7, "", 0)
    holder = int(run.output())
    await until(lambda: not alive(holder))
    assert not (tmp_path / "lock").exists()
    # its end is waited for, and takes no part in the second that what a task leaves behind is given
    assert end.ended_at - (end.started_at or 0) < 900


async def test_a_stop_and_a_killed_shim_let_go_of_it(yard: Yard, tmp_path: Path) -> None:
    environment = acted_out(tmp_path, HOLDS)
    for end in (lambda run: run.attempt.request_stop("a test"), lambda run: os.kill(run.shim, signal.SIGKILL)):
        run = await yard.sh(f"cat {tmp_path}/lock; sleep 60", env=environment, keep_awake=True)
        await until(run.output)
        holder = int(run.output())
        end(run)
        left = await run.end()
        assert isinstance(left, Vanished) or left.record.stopped
        await until(lambda pid=holder: not alive(pid), 5)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho 'Failed to inhibit: Access denied'; exit 1\n", "Failed to inhibit: Access denied"),
        ("#!/bin/sh\nexit 1\n", "systemd-inhibit ended at once"),
        ("not a program", "Exec format error"),
    ],
)
async def test_a_lock_that_is_refused_is_said(yard: Yard, tmp_path: Path, script: str, why: str) -> None:
    run = await yard.sh("exit 7", env=acted_out(tmp_path, script), keep_awake=True)
    end = await run.exit()
    assert (end.exit_code, end.not_awake) == (7, why)
    assert (await run.started()).not_awake == why


async def test_a_machine_that_knows_no_such_lock(yard: Yard, tmp_path: Path) -> None:
    run = await yard.launch("/bin/sh", "-c", "exit 7", env={"PATH": str(tmp_path)}, keep_awake=True)
    end = await run.exit()
    assert end.exit_code == 7 and "no systemd-inhibit" in end.not_awake


@pytest.mark.skipif(not shutil.which("systemd-inhibit"), reason="no systemd-inhibit: apt-get install systemd")
async def test_the_real_one_holds_or_says_why_not(yard: Yard) -> None:
    run = await yard.sh("systemd-inhibit --list | grep -c relay; exit 7", keep_awake=True)
    end = await run.exit()
    assert end.exit_code == 7 and (end.not_awake or int(run.output(0)) > 0)

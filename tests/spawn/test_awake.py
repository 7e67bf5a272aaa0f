"""The machine is kept awake for as long as the task runs and no longer, or it is said why not."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.spawn import launcher
from relay.spawn.attempt import Vanished

from .yard import ENVIRONMENT, alive, edited, until

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture(autouse=True, scope="module")
def _patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Shims that wait for the lock, and for its holder's end, however long that takes here."""
    changes = ("awake.py", "_WAIT_MS = 2_000", "_WAIT_MS = 60_000"), ("ladder.py", "LINGER_S = 1.0", "LINGER_S = 60.0")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launcher, "_ENTRY", edited(tmp_path_factory.mktemp("patient"), *changes))
        yield


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
    # by itself: it was let go of, and takes no part in the time that what a task leaves behind is given
    assert not (tmp_path / "lock").exists()


async def test_a_stop_and_a_killed_shim_let_go_of_it(yard: Yard, tmp_path: Path) -> None:
    environment = acted_out(tmp_path, HOLDS)
    for end in (lambda run: run.attempt.request_stop("a test"), lambda run: os.kill(run.shim, signal.SIGKILL)):
        run = await yard.sh(f"cat {tmp_path}/lock; sleep 60", env=environment, keep_awake=True)
        await until(run.output)
        holder = int(run.output())
        end(run)
        left = await run.end()
        assert isinstance(left, Vanished) or left.record.stopped
        await until(lambda pid=holder: not alive(pid))  # type: ignore[misc]


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


async def test_a_lock_that_is_lost_before_the_end_is_said(yard: Yard, tmp_path: Path) -> None:
    loses = f"h=$(cat {tmp_path}/lock); kill -9 $h; while kill -0 $h 2> {os.devnull}; do sleep 0.02; done; exit 7"
    run = await yard.sh(loses, env=acted_out(tmp_path, HOLDS), keep_awake=True)
    end = await run.exit()
    assert (end.exit_code, end.not_awake) == (7, "what held the lock ended before the task")
    assert not (await run.started()).not_awake


async def test_a_machine_that_knows_no_such_lock(yard: Yard, tmp_path: Path) -> None:
    run = await yard.launch("/bin/sh", "-c", "exit 7", env={"PATH": str(tmp_path)}, keep_awake=True)
    end = await run.exit()
    assert end.exit_code == 7 and "no systemd-inhibit" in end.not_awake


@pytest.mark.skipif(not shutil.which("systemd-inhibit"), reason="no systemd-inhibit: apt-get install systemd")
async def test_the_real_one_holds_or_says_why_not(yard: Yard) -> None:
    run = await yard.sh("systemd-inhibit --list | grep -c relay; exit 7", keep_awake=True)
    end = await run.exit()
    assert end.exit_code == 7 and (end.not_awake or int(run.output(0)) > 0)

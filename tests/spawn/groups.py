"""Control groups of a test's own, and a stand-in for `systemd-run` that puts tasks into them.

The stand-in does what the real one does with a manager that has the memory controller: a fresh group, the limits
written into it, itself moved into it, then the command. The limits are the kernel's own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from relay.spawn.shim import cgroups

STAND_IN = """\
#!/bin/sh
# `systemd-run --user --scope`, acted out in {group}
for word in "$@"; do case "$word" in
    MemoryMax=*) memory=${{word#*=}} ;;
    --unit=*) unit=${{word#*=}} ;;
    --) break ;;
esac; done
mkdir "{group}/$unit.scope" || exit 1
echo "$memory" > "{group}/$unit.scope/{limit}" || exit 1
echo $$ > "{group}/$unit.scope/cgroup.procs" || exit 1
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def _limit_file(group: Path) -> str:
    return "memory.max" if (group / "cgroup.controllers").exists() else "memory.limit_in_bytes"


@contextmanager
def memory_group() -> Iterator[Path]:
    """An empty group whose memory can be limited; skips the test where none can be made."""
    parent = cgroups.folder(os.getpid(), "memory")
    name = f"relay-test-{os.getpid()}-{time.monotonic_ns()}"
    made = [Path(each, name) for each in (parent, "/sys/fs/cgroup/memory", "/sys/fs/cgroup") if each]
    group = next((each for each in made if _make(each)), None)
    if group is None:
        pytest.skip("no memory cgroup can be made here: needs root, or a delegated one")
    try:
        yield group
    finally:
        _remove(group)


@contextmanager
def freezer() -> Iterator[Path | None]:
    """An empty group whose processes take no signal while `freezer.state` is FROZEN; None where none can be made."""
    group = Path("/sys/fs/cgroup/freezer", f"relay-test-{os.getpid()}-{time.monotonic_ns()}")
    try:
        group.mkdir()
    except OSError:  # not root, or a system without the first version of control groups
        yield None
        return
    try:
        yield group
    finally:
        (group / "freezer.state").write_text("THAWED")
        _remove(group)


def _make(group: Path) -> bool:
    try:
        group.mkdir()
    except OSError:
        return False
    if (group / _limit_file(group)).exists():
        return True
    group.rmdir()
    return False


def _remove(group: Path) -> None:
    folders = sorted((each for each in group.rglob("*") if each.is_dir()), reverse=True)
    deadline = time.monotonic() + 5
    for each in [*folders, group]:
        while True:
            for pid in (each / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                each.rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{each} is not empty"
                time.sleep(0.01)


def limit(group: Path, size: int) -> None:
    """Limit a group's memory, in bytes."""
    (group / _limit_file(group)).write_text(str(size))


def stand_in(folder: Path, group: Path) -> Path:
    """A folder for PATH with the stand-in in it, and a runtime folder beside that looks like a running manager's."""
    if (group / "cgroup.subtree_control").exists():
        (group / "cgroup.subtree_control").write_text("+memory")
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "systemd-run").write_text(STAND_IN.format(group=group, limit=_limit_file(group)))
    (binaries / "systemd-run").chmod(0o755)
    (folder / "runtime" / "systemd").mkdir(parents=True)
    (folder / "runtime" / "systemd" / "private").touch()
    return binaries

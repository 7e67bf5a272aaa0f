"""The process table by `ps`, for systems without /proc (macOS). Start times are seconds of the epoch."""

from __future__ import annotations

import subprocess
import time

_COLUMNS = "pid=,ppid=,sess=,state=,lstart="
_LSTART = "%a %b %d %H:%M:%S %Y"


def rows() -> list[tuple[int, int, int, str, int]]:
    """All processes as (pid, parent, session, state, start second)."""
    return [_row(line.split()) for line in _run("ps", "-A", "-o", _COLUMNS).splitlines() if line.strip()]


def environment_has(pid: int, variable: bytes) -> bool:
    """Whether `variable` stands in the environment that `ps` shows for one's own processes."""
    return variable.decode() in _run("ps", "-E", "-ww", "-o", "command=", "-p", str(pid)).split()


def boot_time() -> str:
    """The kernel's word on when it was booted."""
    return _run("sysctl", "-n", "kern.boottime").strip()


def _row(fields: list[str]) -> tuple[int, int, int, str, int]:
    # macOS prints 0 for the session of other users' processes and an address in old versions.
    session = int(fields[2], 16) if not fields[2].isdigit() else int(fields[2])
    started = int(time.mktime(time.strptime(" ".join(fields[4:9]), _LSTART)))
    return int(fields[0]), int(fields[1]), session, fields[3][0], started


def _run(*command: str) -> str:
    environment = {"PATH": "/bin:/usr/bin:/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.stdout

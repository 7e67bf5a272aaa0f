"""The process table by `ps`, for systems without /proc (macOS, the BSDs). Start times are seconds of the epoch.

There is no subreaper there, so that an orphan is found by its session and by the mark in its environment alone. What
does both, takes a session of its own and clears or hides its environment (macOS hides that of Apple's own programs),
is not found: such a system cannot tell whose it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

_COLUMNS = "pid=,ppid=,state=,lstart="
_LSTART = "%a %b %d %H:%M:%S %Y"
_WITH_ENVIRONMENT = ("-A", "-E", "-ww") if sys.platform == "darwin" else ("axeww",)


def rows() -> list[tuple[int, int, int, str, int]]:
    """All processes as (pid, parent, session, state, start second)."""
    return [_row(line.split()) for line in _run("ps", "-A", "-o", _COLUMNS).splitlines() if line.strip()]


def carriers(variable: bytes) -> set[int]:
    """The pids in whose environment `variable` stands, as far as `ps` shows it; one call for all."""
    lines = (line.split() for line in _run("ps", *_WITH_ENVIRONMENT, "-o", "pid=,command=").splitlines())
    return {int(words[0]) for words in lines if words and variable.decode() in words[1:]}


def boot_time() -> str:
    """The kernel's word on when it was booted."""
    return _run("sysctl", "-n", "kern.boottime").strip()


def _row(fields: list[str]) -> tuple[int, int, int, str, int]:
    started = int(time.mktime(time.strptime(" ".join(fields[3:8]), _LSTART)))
    pid = int(fields[0])
    return pid, int(fields[1]), _session(pid), fields[2][0], started


def _session(pid: int) -> int:
    # Asked of the kernel: what macOS prints for it is an address.
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _run(*command: str) -> str:
    environment = {"PATH": "/bin:/usr/bin:/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
    return done.stdout

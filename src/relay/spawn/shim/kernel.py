"""The four `prctl` calls that Python lacks; on other systems than Linux they do nothing.

Without them (macOS) a killed shim does not take its task along at once: the broker's sweep does, by session.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

SHIM = "relay-shim"
"""The title of a shim, and of its task until that is past its exec."""
ADOPTS = sys.platform == "linux"
"""Whether `adopt_orphans` works here."""
libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_prctl = libc.prctl if libc else None


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies. A set-uid exec clears it (prctl(2))."""
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def forbid_dumps() -> None:
    """Let no crash write this process's memory anywhere, and no other program of this user read it. An exec clears it.

    Where core files go to a program, as with systemd-coredump, a limit of 0 on their size would not hold (core(5)).
    """
    if _prctl:
        _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    else:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def adopt_orphans() -> None:
    """Become the parent of every orphaned descendant, whatever session it put itself into."""
    if _prctl:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_title(title: str) -> None:
    """Show `title` (at most 15 bytes) as the process's name."""
    if _prctl:
        _prctl(_PR_SET_NAME, title.encode(), 0, 0, 0)

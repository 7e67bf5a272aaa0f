"""A broker that is there and says nothing: whether it answers anything at all, and the words for one that does not."""

from __future__ import annotations

import _socket

from relay.api import http1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.core.errors import RelayError

LOOK_S = 10.0
ASKED = "/api/v1/settings"
"""What a broker answers from its memory, whatever its disk and its peers do."""


def answers(path: str, within_s: float = LOOK_S) -> bool:
    """Whether whoever listens on a control socket answers anything at all.

    Args:
        path: the socket's.
        within_s: how long that may take.
    """
    asking = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    asking.settimeout(within_s)
    try:
        asking.connect(path)
        asking.sendall(http1.request("GET", ASKED, None))
        asking.recv(64)
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        pass  # it has gone, and that the client's own connection tells
    finally:
        asking.close()
    return True


def too_slow(home: Home, is_order: bool = False) -> RelayError:
    """The error for a broker that is there and says nothing.

    Args:
        home: whose broker.
        is_order: something was to be done, and it may be done yet.
    """
    from relay.core.errors import Code, Unreachable

    pid = _pid_of(home)
    it = f"pid {pid}" if pid else "it"
    why = f"{it} said nothing in time: the machine is too busy, or it hangs"
    hint = f"try again; or see {home.log}"
    if _is_stopped(pid):
        why, hint = f"{it} is stopped, by SIGSTOP or a terminal", f"kill -CONT {pid}"
    if is_order:
        why += "; what was asked may be done yet, once it goes on"
        hint += f"; then look before you ask again: {home.command('ps --all')}"
    return Unreachable("the broker of this machine does not answer", code=Code.TIMED_OUT, why=why, hint=hint)


def is_held(home: Home) -> bool:
    """Whether the broker that last took the home's lock is there: it starts, runs, or is on its way out."""
    pid = _pid_of(home)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"relay" in file.read(4096)  # a pid may be another program's by now
    except OSError:
        return False


def _pid_of(home: Home) -> str:
    """The pid of the broker that holds the home, as its lock says; empty where it does not."""
    try:
        with open(home.lock, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return ""
    return text if text.isdigit() else ""


def _is_stopped(pid: str) -> bool:
    """Whether a process is stopped, where the system has a /proc to tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read(4096).rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False

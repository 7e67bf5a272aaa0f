"""The PATH of the user's login shell: what a terminal finds and a service, left alone, would not.

Nothing else of the shell's environment is read: other variables may be secrets, and a unit is a plain file.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import selectors
import signal
import subprocess
import time
from typing import NamedTuple

SHELL_S = 10.0
MAX_OUTPUT = 1024 * 1024
MAX_PATH = 32 * 1024
MAX_FOLDERS = 256
PIECE = 64 * 1024
# what a login begins with, before the shell's own files add to it
FIRST = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "USER")


class FoundPath(NamedTuple):
    """A PATH and where it is from.

    Attributes:
        path: absolute folders, each once.
        source: in words: whose PATH it is.
        trouble: why it is not the login shell's, or an empty text.
        left_out: how many folders were not taken: relative, doubled in another spelling, or not printable.
    """

    path: str
    source: str
    trouble: str
    left_out: int


def login_path() -> FoundPath:
    """The login shell's PATH; this process's where the shell does not tell it within 10 s."""
    shell = os.environ.get("SHELL") or pwd.getpwuid(os.getuid()).pw_shell
    told, trouble = _ask(shell)
    path, left_out = acceptable(told)
    if path:
        return FoundPath(path, f"the login shell {shell}", "", left_out)
    path, left_out = acceptable(os.environ.get("PATH", ""))
    return FoundPath(path or FIRST, "this terminal", trouble or f"{shell} told an empty PATH", left_out)


def acceptable(text: str) -> tuple[str, int]:
    """The folders of a PATH that a service may look in, and how many others it named.

    Args:
        text: folders with colons between them. Relative and empty ones would mean another place at each start.
    """
    folders = [each for each in text[:MAX_PATH].split(":") if each]
    fitting = [each for each in folders if os.path.isabs(each) and each.isprintable()]
    kept = list(dict.fromkeys(fitting))[:MAX_FOLDERS]
    return ":".join(kept), len(set(folders)) - len(kept)


def _ask(shell: str) -> tuple[str, str]:
    """What the shell says its PATH is, and what went wrong."""
    if not os.path.isabs(shell) or not os.access(shell, os.X_OK):
        return "", f"the login shell {shell!r} is no program"
    mark = secrets.token_hex(16)
    # /bin/sh prints what was exported to it, whatever the language of the shell that starts it
    script = f"/bin/sh -c 'printf \"\\n%s<%s>%s\\n\" {mark} \"$PATH\" {mark}'"
    try:
        process = subprocess.Popen(
            [shell, "-l", "-i", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(shell),
            cwd=os.path.expanduser("~"),
            start_new_session=True,  # an interactive shell must not take the terminal, and all it starts can be ended
        )
    except OSError as error:
        return "", f"{shell} cannot be run: {error.strerror}"
    try:
        return _listen(shell, process, re.compile(rf"{mark}<([^\0]*?)>{mark}".encode()))
    finally:
        _end(process)


def _environment(shell: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"PATH": FIRST, "SHELL": shell, "TERM": "dumb"}


def _listen(shell: str, process: subprocess.Popen[bytes], pattern: re.Pattern[bytes]) -> tuple[str, str]:
    assert process.stdout is not None
    until = time.monotonic() + SHELL_S
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(data) < MAX_OUTPUT:
            left = until - time.monotonic()
            if left <= 0 or not selector.select(left):
                return "", f"{shell} did not tell its PATH within {SHELL_S:.0f} s"
            piece = os.read(process.stdout.fileno(), PIECE)
            if not piece:
                return "", f"{shell} ended without telling its PATH"
            # only the end can be new: an answer is never looked for twice in what was there before
            data += piece
            found = pattern.search(data, max(0, len(data) - len(piece) - MAX_PATH - 256))
            if found:
                return found[1].decode("utf-8", "backslashreplace"), ""
    return "", f"{shell} printed more than {MAX_OUTPUT} bytes and not its PATH"


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()

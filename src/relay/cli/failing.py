"""Turns whatever went wrong into the contract's error form and an exit status. No traceback reaches a person."""

from __future__ import annotations

import errno
import sys

from relay.api.home import Home
from relay.cli import speech
from relay.cli.hints import for_home, home_in
from relay.cli.main import silence
from relay.core.errors import Code, LocalFault, Misuse, RelayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED, MISUSED = 1, 2
NOT_WRITTEN = (errno.EROFS, errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)


def report(fault: Exception, words: Sequence[str]) -> int:
    """Say what went wrong, on stderr or as a JSON document; returns the exit status.

    Args:
        fault: what was raised.
        words: the command line, which says whether JSON is wanted.
    """
    error = fault if isinstance(fault, RelayError) else _from_foreign(fault)
    error.hint = for_home(error.hint, Home(home_in(words)))
    as_json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
    try:
        if _is_of_output(fault):
            silence(sys.stdout)
        speech.error(error, as_json and not _is_of_output(fault))
        speech.flush()
    except BrokenPipeError:
        sys.stderr = None  # nobody reads; Python must not complain of it either
    except OSError as unsaid:
        _say_elsewhere(error, unsaid)
    return MISUSED if isinstance(error, Misuse) else FAILED


def _say_elsewhere(error: RelayError, unsaid: OSError) -> None:
    if not _is_of_output(unsaid):
        silence(sys.stderr)
        return
    silence(sys.stdout)
    try:
        speech.error(error)
    except OSError:
        silence(sys.stderr)


def _is_of_output(fault: Exception) -> bool:
    return isinstance(fault, OSError) and fault.filename == speech.OUTPUT


def _from_foreign(fault: Exception) -> RelayError:
    if isinstance(fault, OSError):
        return _from_system(fault)
    _keep_trace(fault)
    return LocalFault(
        "something in relay itself went wrong",
        code=Code.INTERNAL,
        why=f"{type(fault).__name__}: {fault}",
        hint="relay doctor; RELAY_TRACE=FILE keeps the details in a file",
    )


def _from_system(fault: OSError) -> RelayError:
    if isinstance(fault, FileNotFoundError) and not fault.filename and _stands_nowhere():
        return Misuse("you stand in a folder that is not there any more", why="it was removed, or moved", hint="cd ~")
    if _is_of_output(fault):
        return LocalFault(
            "what it prints cannot be written",
            code=Code.DISK_FULL if fault.errno in FULL else Code.STORE_FAULT,
            why=fault.strerror or str(fault),
            hint="have it printed elsewhere; what was asked for may be done all the same: relay ps --all",
        )
    full = fault.errno in FULL
    what = f"{fault.filename}: " if fault.filename else ""
    return LocalFault(
        "the disk is full" if full else "this machine refused it",
        code=Code.DISK_FULL if full else Code.STORE_FAULT,
        why=f"{what}{fault.strerror or fault}",
        hint="free some space and do it again" if full else _look_at(fault),
    )


def _look_at(fault: OSError) -> str:
    if fault.errno not in NOT_WRITTEN or not isinstance(fault.filename, str):
        return "relay doctor"
    import os
    import shlex

    return f"ls -ld {shlex.quote(os.path.dirname(fault.filename) or '.')}; then relay doctor"


def _stands_nowhere() -> bool:
    import os

    try:
        return not os.getcwd()
    except FileNotFoundError:
        return True


def _keep_trace(fault: Exception) -> None:
    import os
    import traceback

    path = os.environ.get("RELAY_TRACE")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(fault)))

"""The token that clients of `relay mcp --http` bring: a file of the home, 0600; in no argv and no environment."""

from __future__ import annotations

import os
import secrets
import stat

from relay.core.errors import Code, LocalFault

BYTES = 32


def make(path: str) -> None:
    """Make the file, for its owner alone, unless there is one.

    Raises:
        OSError: the folder takes no file.
    """
    if os.path.lexists(path):
        return
    part = f"{path}.{os.getpid()}"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        pass  # another was as quick: its token is the one
    finally:
        os.unlink(part)


def read(path: str) -> str:
    """The token that a file holds.

    Raises:
        LocalFault: it is no file of this user alone, or is empty.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as fault:
        raise _distrusted(path, fault.strerror or str(fault)) from None
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise _distrusted(path, "others can read it, or it is another user's")
        token = file.read(1024).decode("ascii", "replace").strip()
    if not token:
        raise _distrusted(path, "it is empty")
    return token


def _distrusted(path: str, why: str) -> LocalFault:
    hint = "remove it: relay mcp --http makes another"
    return LocalFault(f"{path} is no token to trust", code=Code.BAD_FILE, why=why, hint=hint)

"""Private folders for what git makes for a while; what a killed program left of them goes with the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE, BACK, DIFF = ".here-", ".back-", ".diff-"
YOUNG_S = 60.0  # its maker may not have locked it yet


@contextlib.contextmanager
def room(folder: str | Path, prefix: str) -> Iterator[Path]:
    """A new folder, locked for as long as it is used, and removed after that.

    Args:
        folder: where it is made: a broker's home.
        prefix: of its name, one of those above.
    """
    _clear(Path(folder))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as made:
        handle = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(made)
        finally:
            os.close(handle)


def _clear(folder: Path) -> None:
    """Remove the rooms that nobody holds any more."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith((HERE, BACK, DIFF)) and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    """Whether whoever made a room is gone: where a file system has no locks nobody knows."""
    try:
        if time.time() - path.lstat().st_mtime < YOUNG_S:
            return False
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)

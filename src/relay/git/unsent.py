"""Notes of trees that are packed for a spawn, until it is certain what became of the request.

A command that is killed in between leaves refs in the user's repository that nobody needs. Its note outlives it, in the
broker's home, so that the next one in that repository finds them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from relay.core.values import frozen

FOLDER = "unsent"
YOUNG_S = 3_600.0  # its broker may be taking the tree in still
MOST_AT_ONCE, MAX_NOTE = 16, 16_384


@frozen
class Left:
    """What somebody packed who is gone.

    Attributes:
        key: what it is kept by in the repository.
        name: of the spawn that it was for.
        path: the note.
    """

    key: str
    name: str
    path: Path


class Note:
    """The note of one tree; nothing is written before `write`.

    Args:
        home: the broker's home.
        key: what the tree is kept by.
        name: of the spawn that it is for.
    """

    def __init__(self, home: Path, key: str, name: str) -> None:
        self._path = home / FOLDER / key
        self._name = name
        self._file: IO[str] | None = None

    def write(self, repository: Path) -> None:
        """Write it, before anything is kept in a repository: durably, and locked for as long as this process lives."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(handle, "w", encoding="utf-8")
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        json.dump({"repository": os.fsdecode(repository), "name": self._name}, self._file)
        self._file.flush()
        os.fsync(handle)
        _sync(self._path.parent)

    def drop(self) -> None:
        """Remove it: what became of the tree is certain."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it, whether it is still there or not."""
        if self._file is not None:
            self._file.close()


def left(home: Path, repository: Path) -> Iterator[Left]:
    """What was packed of a repository by programs that are gone, each locked while it is looked at.

    Args:
        home: the broker's home.
        repository: its common folder, as it was noted.
    """
    with contextlib.suppress(OSError):
        found = 0
        for path in (home / FOLDER).iterdir():
            with _of_nobody(path) as text:
                if text and (name := _name(text, repository)) is not None:
                    yield Left(path.name, name, path)
                    found += 1
            if found >= MOST_AT_ONCE:
                return


@contextlib.contextmanager
def _of_nobody(path: Path) -> Iterator[str]:
    """What an old note says that nobody holds; else nothing: where a file system has no locks nobody knows."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield ""
        return
    try:
        if abs(time.time() - os.fstat(handle).st_mtime) < YOUNG_S:
            yield ""
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = os.read(handle, MAX_NOTE).decode("utf-8", "replace")
        except OSError:
            text = ""
        yield text
    finally:
        os.close(handle)


def _name(text: str, repository: Path) -> str | None:
    """The name in a note of this repository; None in another's, and in one that cannot be read."""
    try:
        noted = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(noted, dict) or noted.get("repository") != os.fsdecode(repository):
        return None
    return name if isinstance(name := noted.get("name"), str) else None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

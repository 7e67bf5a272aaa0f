"""Whether the files of a home are this user's alone: files 0600, folders 0700."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

MOST_TOLD = 5
OTHERS = 0o077


def open_to_others(home: str) -> list[tuple[str, int]]:
    """What in a home others may read or write: path and mode of each; the home itself included.

    What tasks made in their own folders is left out, and links are not followed. A folder that is this user's alone
    closes what is in it all the same; but a file may be moved, and a backup keeps its mode.
    """
    return [(path, mode) for path, mode in _all(home) if mode & OTHERS]


def _all(home: str) -> Iterator[tuple[str, int]]:
    worktrees = os.path.join(home, "worktrees")
    yield home, stat.S_IMODE(os.stat(home).st_mode)
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:  # a home in use
                continue
            if not stat.S_ISLNK(found.st_mode):
                yield path, stat.S_IMODE(found.st_mode)
        if folder == worktrees:
            folders.clear()


def told(home: str) -> tuple[str, str]:
    """What `doctor` says of the modes, and the command that mends them; the command is empty where all is well."""
    found = open_to_others(home)
    if not found:
        return "this user's alone", ""
    listed = [f"{os.path.relpath(path, home)} {mode:o}" for path, mode in found[:MOST_TOLD]]
    more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    return f"open to others: {', '.join(listed)}{more}", f"chmod -R go-rwx {home}"

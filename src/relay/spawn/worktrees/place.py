"""The paths of one spawn's place, and the note that it is whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from relay.core.ids import is_spawn_id
from relay.core.sources import is_commit
from relay.core.values import frozen
from relay.spawn.taking_away import take_away

MIRRORS = ".mirrors"
_MAX_NOTE = 4_096
_MIRROR = re.compile(r"(?:[0-9a-f]{32})?\Z")
_NOTE, _BESIDE, _MAKING, _LEFT = ".json", ".git", ".making-", ".left"


@frozen
class Began:
    """Where a spawn's place began.

    Attributes:
        base: the commit.
        is_folder: whether it is a plain folder.
        mirror: the name of the mirror whose objects it needs; empty for none.
        tip: the last commit that was brought back, or `base`.
        head: what the task's own repository named when that was done.
    """

    base: str
    is_folder: bool
    mirror: str
    tip: str
    head: str


_CHECKS: dict[str, Callable[[object], bool]] = {
    "base": is_commit,
    "is_folder": lambda value: type(value) is bool,
    "mirror": lambda value: type(value) is str and _MIRROR.match(value) is not None,
    "tip": is_commit,
    "head": is_commit,
}


class Place:
    """The place of one spawn.

    Args:
        root: the folder of worktrees.
        spawn: the spawn's id.
    """

    def __init__(self, root: Path, spawn: str) -> None:
        self.root = root
        self.spawn = spawn
        self.tree = root / spawn
        self.beside = root / f"{spawn}{_BESIDE}"
        self._note = root / f"{spawn}{_NOTE}"
        self._left = root / f"{spawn}{_LEFT}"

    @property
    def is_whole(self) -> bool:
        """Whether it was made, and is there."""
        return self._note.exists() and self.has_tree

    @property
    def has_tree(self) -> bool:
        """Whether its tree is there; a link that a task put in its place leads to what was never the task's."""
        return self.tree.is_dir() and not self.tree.is_symlink()

    @property
    def was_made(self) -> bool:
        """Whether it was made, and not cleaned away; its tree may have been removed by the task."""
        return self._note.exists() and self.beside.is_dir()

    @property
    def making(self) -> Path:
        """Where it is made, before it gets its name: another path each time."""
        return self.root / f"{self.spawn}{_MAKING}{os.urandom(4).hex()}"

    def began(self) -> Began:
        """The note.

        Raises:
            OSError, ValueError: there is none that can be read.
        """
        with open(self._note, "rb", opener=_of_a_file) as file:
            try:
                said = json.loads(file.read(_MAX_NOTE))
            except RecursionError:
                said = None
        if type(said) is not dict or said.keys() != _CHECKS.keys():
            raise ValueError("the note of where it began has another form")
        if (bad := next((key for key, check in _CHECKS.items() if not check(said[key])), None)) is not None:
            raise ValueError(f"the note of where it began has another {bad} than it can have")
        return Began(**said)

    def note(self, began: Began) -> None:
        """Write the note, durably; until then the place counts as not made."""
        part = self._note.with_name(f"{self._note.name}.part")
        remove_tree(part)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(began), file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._note)

    def moved_on(self, began: Began, tip: str, head: str) -> None:
        """Note what was brought back last."""
        self.note(replace(began, tip=tip, head=head))

    def lenders(self, began: Began, with_own: bool = True) -> list[Path]:
        """Whose objects the repository beside the tree sees: the mirror's, and those that the task makes.

        Args:
            began: the note.
            with_own: whether the task's own can be looked at.
        """
        mirror = [self.root / MIRRORS / began.mirror / "objects"] if began.mirror else []
        return [*mirror, self.tree / ".git" / "objects"] if with_own and not began.is_folder else mirror

    def stays(self) -> None:
        """Note that what the task changed lies here alone: nobody but a person removes it."""
        with contextlib.suppress(OSError):  # a task may have put anything there
            self._left.touch()

    def was_brought_back(self) -> None:
        """What the task changed is elsewhere as well."""
        self._left.unlink(missing_ok=True)

    @property
    def has_all_there_is(self) -> bool:
        """Whether what the task changed could not be brought back, and lies here alone."""
        return self._left.exists() and os.path.lexists(self.tree)

    def set_aside(self) -> None:
        """Take its name from it, at once: from then on it counts as not made, whatever becomes of the rest."""
        self._note.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.tree.rename(self.making)

    def remove(self) -> None:
        """Remove all of it, the note first: what is left of it after a crash counts as not made.

        Raises:
            OSError: something of it cannot be removed; all else was.
        """
        self._note.unlink(missing_ok=True)
        for path in (self.tree, self.beside, *self.root.glob(f"{self.spawn}{_MAKING}*")):
            remove_tree(path)
        self._left.unlink(missing_ok=True)


def _of_a_file(path: str, flags: int) -> int:
    """Opens a file, and nothing that a task may have put in its place: of a pipe it would wait for the other end."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "the note of where it began is no file")


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, folders without the right to read or write included.

    Raises:
        OSError: something in it cannot be removed; all else was.
    """
    with contextlib.suppress(FileNotFoundError):
        take_away(path, onerror=_let)
        take_away(path, onerror=_let)  # now that each folder can be listed
        take_away(path)


def _let(work: object, path: str, error: object) -> None:
    """Allow what failed, and do it where that is enough."""
    parent = os.path.dirname(path)
    for each in (parent, path):
        with contextlib.suppress(OSError):
            if not os.path.islink(each):
                os.chmod(each, 0o700)
    with contextlib.suppress(OSError):
        os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def spawns_below(root: Path) -> set[str]:
    """The spawns of which something lies in the folder of worktrees."""
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return set()
    found = {name.split(".", 1)[0] for name in names if not name.startswith(".")}
    return {each for each in found if is_spawn_id(each)}

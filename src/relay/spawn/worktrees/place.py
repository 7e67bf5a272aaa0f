"""The paths of one spawn's place, and the note that it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from relay.core.ids import is_spawn_id

MIRRORS = ".mirrors"
_NOTE, _BESIDE, _MAKING = ".json", ".git", ".making-"


@dataclass(frozen=True, slots=True)
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

    @property
    def is_whole(self) -> bool:
        """Whether it was made, and is there."""
        return self._note.exists() and self.tree.is_dir()

    @property
    def making(self) -> Path:
        """Where it is made, before it gets its name: another path each time."""
        return self.root / f"{self.spawn}{_MAKING}{os.urandom(4).hex()}"

    def began(self) -> Began:
        """The note.

        Raises:
            OSError, ValueError: there is none that can be read.
        """
        return Began(**json.loads(self._note.read_text()))

    def note(self, began: Began) -> None:
        """Write the note, durably; until then the place counts as not made."""
        part = self._note.with_name(f"{self._note.name}.part")
        with part.open("w") as file:
            json.dump(asdict(began), file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._note)

    def moved_on(self, began: Began, tip: str, head: str) -> None:
        """Note what was brought back last."""
        self.note(replace(began, tip=tip, head=head))

    def remove(self) -> None:
        """Remove all of it, the note first: what is left of it after a crash counts as not made."""
        self._note.unlink(missing_ok=True)
        for path in (self.tree, self.beside, *self.root.glob(f"{self.spawn}{_MAKING}*")):
            remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, folders without the right to write included."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path, onerror=_try_again)


def _try_again(work: object, path: str, error: object) -> None:
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

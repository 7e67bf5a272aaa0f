"""Submodules: git never looks into one by itself, as it would obey what stands in the configuration of each."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from relay.git.command import LONG_S, Git
from relay.git.filters import guarded
from relay.git.sound import require_sound
from relay.git.tree import GITLINK, entries, refused, shown


def add_tracked(git: Git, *options: str) -> list[str]:
    """Put what changed of the tracked files into git's index, as `git add -u` does; of submodules their commit alone.

    `git add -u` would ask `git status` in each of them, and that runs the filters that are named there.

    Args:
        git: at the root of the tree, without links.
        options: more of `git add`.

    Returns:
        The submodules that are there.

    Raises:
        Failed: git failed.
    """
    links = [each.path for each in entries(git, "ls-files", "-s", "-z") if each.mode == GITLINK]
    if not links:
        git.run("add", "-u", *options, seconds=LONG_S)
        return []
    gone = {each for each in links if _is_beyond(git.folder, each)}
    gone |= set(git.paths("ls-files", "-d", "-z")) & set(links)
    if gone:
        git.run("update-index", "--force-remove", "-z", "--stdin", given=_lines(gone))
    left = [each for each in links if each not in gone]
    given = _lines([":(top)", *(f":(top,exclude,literal){each}" for each in left)])
    git.run("add", "-u", *options, "--pathspec-from-file=-", "--pathspec-file-nul", given=given, seconds=LONG_S)
    if there := [each for each in left if os.path.lexists(git.folder / each)]:
        git.run("update-index", "-z", "--stdin", given=_lines(there))
    return there


def _is_beyond(top: Path, path: str) -> bool:
    """Whether a link stands in the way to a path."""
    parent = os.path.dirname(path)
    return os.path.realpath(top / parent) != os.path.normpath(top / parent)


def filled(top: Path, links: Iterable[str]) -> list[str]:
    """Of submodules those in whose folder something is."""
    return [each for each in links if (at := top / each).is_dir() and not at.is_symlink() and os.listdir(at)]


def require_clean_submodules(top: Path, links: Collection[str], notes: list[str]) -> None:
    """Refuse submodules with changes of their own, which look as if they had none; note the others.

    Raises:
        Misuse: `bad_tree`.
    """
    there = [each for each in links if os.path.lexists(top / each / ".git")]
    dirty = [each for each in there if _is_changed(top / each)]
    if dirty:
        why = f"{shown(dirty)}: what is not committed in a submodule does not travel with the tree around it"
        raise refused("a submodule has changes", why, "commit them there, or use --repo URL")
    if strewn := filled(top, [each for each in links if each not in there]):
        why = f"{shown(strewn)}: git sends nothing of a submodule's folder, and it is no repository any more"
        raise refused("there are files in the folder of a submodule", why, "move them away: git submodule status, here")
    if there:
        notes.append(f"submodules are empty folders there: {shown(there)}")


def _is_changed(module: Path) -> bool:
    """Whether a submodule, or one in it, has changes."""
    require_sound(Path(os.path.realpath(module)))
    git = guarded(Git(module, own_settings=True))
    if git.run("status", "--porcelain", "-z", "--ignore-submodules=dirty"):
        return True
    inner = (each.path for each in entries(git, "ls-files", "-s", "-z") if each.mode == GITLINK)
    return any(_is_changed(module / each) for each in inner if os.path.lexists(module / each / ".git"))


def _lines(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(each) + b"\0" for each in paths)

"""Filters that a repository's own configuration names: none of them is run.

A filter is a command. Those of the user's configuration are the user's; one that stands in `.git/config` may have come
with a tree that somebody else has packed. So they are silenced, and where content had to go through one it is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from relay.core.errors import Code, Misuse
from relay.git.command import Git
from relay.git.sound import require_file

MOST = 100
_KEYS = r"^filter\..*\.(clean|smudge|process)$"
_READ = r"^core\.(excludes|attributes)file$"
_HARMLESS = ("", "cat")


def guarded(git: Git) -> Git:
    """Git as it is, without the filters that the configuration of the repository itself names.

    Raises:
        Misuse: `bad_tree`: it names more of them than anybody needs, or something to read that has no end.
    """
    for setting in (git.says("config", "-z", "--type=path", "--get-regexp", _READ) or "").split("\0"):
        require_file(git.folder / setting.partition("\n")[2])
    names = {name for name, _, _ in _named(git)}
    if len(names) > MOST:
        why, hint = f"its configuration names more than {MOST} filters", "look into .git/config"
        raise Misuse("this repository cannot be used", code=Code.BAD_TREE, why=why, hint=hint)
    return replace(git, silenced=tuple(sorted(names)))


def _named(git: Git) -> list[tuple[str, str, str]]:
    """Name, key and command of each filter of the repository's own configuration."""
    told = git.says("config", "-z", "--show-scope", "--get-regexp", _KEYS) or ""
    words = told.split("\0")
    found = []
    for scope, setting in zip(words[::2], words[1::2], strict=False):
        if scope in ("local", "worktree"):
            key, _, command = setting.partition("\n")
            found.append((key.split(".", 1)[1].rpartition(".")[0], key.rpartition(".")[2], command))
    return found


def of_paths(git: Git, paths: Iterable[str]) -> list[tuple[str, str]]:
    """Each path with the filter that the attributes in git's index give it."""
    given = b"".join(os.fsencode(path) + b"\0" for path in paths)
    told = git.run("check-attr", "-z", "--stdin", "--cached", "filter", given=given).split(b"\0")
    words = [os.fsdecode(each) for each in told]
    return list(zip(words[:-1:3], words[2::3], strict=False))


def needed(git: Git, before: str, after: str, into: Path) -> dict[str, str]:
    """The files of a change that a silenced filter would have to write, with its name.

    Args:
        git: in the repository.
        before: a commit, and `after` the one that is to be laid out.
        into: a private folder.
    """
    ones = {name for name, key, command in _named(git) if key != "clean" and command not in _HARMLESS}
    if not ones:
        return {}
    index = git.with_index(into / "filters")
    index.run("read-tree", after)
    changed = git.paths("diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=d", before, after)
    return {path: name for path, name in of_paths(index, changed) if name in ones}

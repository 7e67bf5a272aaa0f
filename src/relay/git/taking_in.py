"""A bundle that came from another machine: judged, and taken into a repository, before anything of it is used."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from relay.core.errors import Code, PeerFault
from relay.git import tree as trees
from relay.git.command import LONG_S, Failed, Git


def new_bare(git_dir: Path) -> Git:
    """A new bare repository; git runs in it."""
    git_dir.mkdir(mode=0o700, parents=True)
    git = Git(git_dir, git_dir=git_dir)
    git.run("init", "-q", "--bare", str(git_dir))
    return git


def borrow(git_dir: Path, *objects: Path) -> None:
    """Let a repository see the objects of others."""
    lines = [os.fsencode(each) for each in objects]
    if any(b"\n" in line for line in lines):
        why = "a folder's name on the way to it has a line's end in it"
        raise Failed("its place cannot be used", why=why, hint="rename that folder")
    (git_dir / "objects" / "info" / "alternates").write_bytes(b"".join(line + b"\n" for line in lines))


def take_in(git: Git, bundle: Path, ref: str, commit: str, kept_as: str) -> None:
    """Take a commit out of a bundle, with all that is missing for it. Every object is checked on the way.

    Args:
        git: in the repository that takes it.
        bundle: the file.
        ref: what the commit is called in it.
        commit: which it has to be.
        kept_as: the ref that keeps it here.

    Raises:
        PeerFault: `bad_blob`: it is no bundle of that commit, or has in it what a tree must not have.
        Stopped: it was to be stopped.
    """
    try:
        git.run("bundle", "verify", str(bundle), seconds=LONG_S)
        # by itself git would follow the tags in it as well
        words = ("fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        replace(git, protocols=("file",)).run(*words, "--", str(bundle), f"+{ref}:{kept_as}", seconds=LONG_S)
    except Failed as fault:
        raise _refused(fault.why) from None
    if git.says("rev-parse", "-q", "--verify", f"{kept_as}^{{commit}}") != commit:
        git.run("update-ref", "-d", kept_as)
        raise _refused("it holds another commit than was told")


def require_tree(git: Git, commit: str, tree: str, is_folder: bool) -> None:
    """Hold a commit against the tree that its origin told.

    Raises:
        PeerFault: it is another.
        Misuse: `bad_tree`: it is too big, or leads out of its folder.
    """
    found = git.text("rev-parse", f"{commit}^{{tree}}")
    if found != tree:
        raise _refused(f"its tree is {found[:12]}, and {tree[:12]} was told")
    trees.require_total(git, tree)
    if is_folder:
        trees.require_links_inside(git, trees.entries(git, "ls-tree", "-r", "-z", commit))


def _refused(why: str) -> PeerFault:
    hint = "send it anew: relay spawn … --here"
    return PeerFault("the tree that came was refused", code=Code.BAD_BLOB, why=why, hint=hint)

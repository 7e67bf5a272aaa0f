"""Makes the working tree of one spawn: aside, checked, and only then under its name."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from relay.core.errors import NO_ROOM, Code, LocalFault
from relay.core.workplaces import SentTree, Workplace
from relay.git.command import LONG_S, Git, Leash
from relay.git.snapshot import plain_git
from relay.git.taking_in import borrow, new_bare, require_tree, take_in
from relay.spawn.worktrees.mirror import Mirrors
from relay.spawn.worktrees.place import Began, Place

BASE = "refs/relay/base"
_log = logging.getLogger(__name__)


class Checkout:
    """Makes places.

    Args:
        mirrors: of repositories.
    """

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    def make(
        self, place: Place, wish: Workplace, branch: str, bundle: Path | None, stop: Leash
    ) -> None:
        """Make a place, or leave the one that is whole. Blocks.

        Args:
            place: where.
            wish: what is to be in it.
            branch: what its branch is called.
            bundle: the tree that came along, as a file.
            stop: set when it is to be given up.

        Raises:
            RelayError: why it cannot be made.
            Stopped: it was given up.
        """
        if place.is_whole:
            return
        if place.has_tree:
            raise _without_note(place)
        place.remove()  # what a crash left
        place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            began = self._fetched(place, wish, stop) if wish.tree is None else _sent(place, wish.tree, bundle, stop)
            making = place.making
            if began.is_folder:
                _lay_out(place, making, began.base)
            else:
                source = self._mirrors.path(began.mirror) if began.mirror else place.beside
                _clone(source, making, branch, began.base, wish.repo, stop)
            borrow(place.beside, *place.lenders(began))
            place.note(began)
            making.rename(place.tree)  # last: no crash leaves a tree without a note, so that such a one has work in it
        except BaseException as fault:
            with contextlib.suppress(OSError):
                place.remove()
            if isinstance(fault, OSError):
                raise _no_room(fault) from None
            raise

    def _fetched(self, place: Place, wish: Workplace, stop: Leash) -> Began:
        assert wish.repo is not None
        mirror, commit = self._mirrors.fetched(wish.repo, wish.ref, stop)
        git = new_bare(place.beside)
        borrow(place.beside, self._mirrors.path(mirror) / "objects")
        git.run("update-ref", BASE, commit)
        return Began(commit, False, mirror, commit, commit)


def _sent(place: Place, tree: SentTree, bundle: Path | None, stop: Leash) -> Began:
    assert bundle is not None
    new_bare(place.beside)
    git = Git(place.beside, git_dir=place.beside, stop=stop)
    is_folder = tree.kind != "git"
    take_in(git, bundle, tree.ref, tree.commit, BASE)
    require_tree(git, tree.commit, tree.tree, is_folder)
    return Began(tree.commit, is_folder, "", tree.commit, tree.commit)


def _clone(
    source: Path, making: Path, branch: str, commit: str, url: str | None, stop: Leash
) -> None:
    """A repository of its own, with the objects of another on the same disk, at a commit on a branch of its own."""
    making.mkdir(mode=0o700)
    words = ("clone", "-q", "--local", "--no-checkout", "--template=", "--origin", "origin")
    here = Git(making.parent, protocols=("file",), stop=stop)
    if url is not None:
        here.run(*words, "--", str(source), str(making), seconds=LONG_S)
    git = Git(making, stop=stop)
    if url is None:
        git.run("init", "-q", "--template=")
        fetch = ("fetch", "-q", "--no-tags", "--no-write-fetch-head", str(source), f"{BASE}:refs/heads/{branch}")
        Git(making, protocols=("file",), stop=stop).run(*fetch, seconds=LONG_S)
        git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    else:
        git.run("config", "remote.origin.url", url)
        git.run("update-ref", f"refs/heads/{branch}", commit)
        git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git.run("reset", "-q", "--hard", commit, "--", seconds=LONG_S)
    _let_commit(git)
    _require_same(git, commit)


def _let_commit(git: Git) -> None:
    """Where this machine's user has no name for commits the task could make none."""
    own = Git(git.folder, own_settings=True)
    for key, value in (("user.name", "relay"), ("user.email", "relay@localhost")):
        if own.says("config", "--get", key) is None:
            git.run("config", key, value)


def _lay_out(place: Place, making: Path, commit: str) -> None:
    making.mkdir(mode=0o700)
    git = plain_git(place.beside, making).with_index(place.beside / "index")
    git.run("read-tree", commit)
    git.run("checkout-index", "-a", "-q", seconds=LONG_S)
    _require_same(git, commit)


def _require_same(git: Git, commit: str) -> None:
    """What is on the disk is the tree: nothing is missing, changed, or there besides."""
    git.run("update-index", "-q", "--really-refresh")
    other = git.run("diff-index", "--name-only", "-z", commit, "--") + git.run("ls-files", "-o", "-z")
    if other:
        first = os.fsdecode(other.split(b"\0")[0])
        raise LocalFault(
            "its working tree could not be made as it is",
            code=Code.PLACE_FAILED,
            why=f"{first!r} came out otherwise on this disk (letter case, links, or names that it does not keep)",
            hint="relay doctor, on the machine that was to run it",
        )


def _without_note(place: Place) -> LocalFault:
    return LocalFault(
        "it cannot go on in its working tree",
        code=Code.PLACE_GONE,
        why=f"the note of where that began was removed; what is in {place.tree} stays as it is",
        hint=f"take out of {place.tree} what is of use, on the machine that ran it; then spawn it anew",
    )


def _no_room(fault: OSError) -> LocalFault:
    code = Code.DISK_FULL if fault.errno in NO_ROOM else Code.PLACE_FAILED
    hint = "relay clean, or relay doctor, on the machine that was to run it"
    return LocalFault("its working tree could not be made", code=code, why=str(fault), hint=hint)

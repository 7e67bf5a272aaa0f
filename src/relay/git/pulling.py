"""Takes what came back into the user's tree, never over the user's own work.

    the tree is as it was sent, nothing uncommitted      the branch is moved forward (fast-forward)
    the tree is as it was sent, with uncommitted work    the change is laid onto the files; index and HEAD stay
    anything else                                        a branch, and a worktree (a plain folder: a folder) beside

Either way the commits are on the branch `relay/NAME`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from relay.core.errors import Code, Misuse, RelayError
from relay.core.values import frozen
from relay.git import filters
from relay.git.command import LONG_S, LOOK_EVERY_S, Failed, Git
from relay.git.filters import guarded
from relay.git.returning import Returned, applies, grafted, patch, repository_of, require_base, scratch
from relay.git.snapshot import plain_git, tree_of
from relay.git.taking_in import take_in
from relay.git.tree import shown

ALONE_WITHIN_S = 60.0
FORWARD, APPLIED, WORKTREE, FOLDER, ALREADY = "fast-forward", "applied", "worktree", "folder", "already"


@frozen
class Pulled:
    """What became of it.

    Attributes:
        how: `fast-forward`, `applied`, `worktree`, `folder` or `already`.
        path: where it is now.
        branch: the branch that has it; None of a plain folder.
        tip: its last commit.
        why: why it is beside, or empty.
    """

    how: str
    path: Path
    branch: str | None
    tip: str
    why: str = ""


def pull(returned: Returned, folder: Path, own_home: Path, into: Path, beside: Path | None) -> Pulled:
    """Take a change into the tree around a folder. Blocks.

    Args:
        returned: the change.
        folder: where the person stands.
        own_home: the broker's home.
        into: a private folder for what is made meanwhile.
        beside: where it goes if it cannot be taken into the tree; None for a folder beside the tree.

    Raises:
        Misuse: `bad_tree`: it cannot be pulled here, and why; nothing was changed.
        RelayError: otherwise.
    """
    if returned.is_folder:
        top = Path(os.path.realpath(folder))
        with _alone(top):
            return _into_folder(returned, top, own_home, into, beside)
    git = repository_of(folder)
    if git is None:
        raise _refused(f"{folder} is no git working tree", "cd into the repository that it belongs to")
    with _alone(Path(git.text("rev-parse", "--path-format=absolute", "--git-common-dir"))):
        return _Pull(returned, git, own_home, into, beside).done()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One pull after the other: each finds what the one before has done."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until = time.monotonic() + ALONE_WITHIN_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    why, hint = f"another pull has been at work in {folder} for {ALONE_WITHIN_S:.0f} s", "try it again"
                    raise _refused(why, hint) from None
                time.sleep(LOOK_EVERY_S)
            except OSError:
                break  # a file system without locks: git's own have to do
        yield
    finally:
        os.close(handle)


class _Pull:
    def __init__(
        self, returned: Returned, git: Git, own_home: Path, into: Path, beside: Path | None
    ) -> None:
        self._returned = returned
        self._git = git
        self._home = own_home
        self._into = into
        self._beside = beside
        self._kept = f"refs/relay/{returned.key}"

    def done(self) -> Pulled:
        returned, git = self._returned, self._git
        if returned.sent is not None and git.says("cat-file", "-e", f"{returned.base}^{{commit}}") is None:
            take_in(git, *returned.sent, returned.base, f"{self._kept}/sent")
        require_base(git, returned, git.folder)
        take_in(git, returned.change, "refs/relay/tip", returned.tip, f"{self._kept}/back")
        began = self._commit(f"{self._kept}/tree") or returned.base
        tip = grafted(git, returned.base, began, returned.tip)
        pulled = self._commit(f"{self._kept}/pulled")
        branch, before = self._branch(tip)
        head = self._commit("HEAD")
        if pulled == tip and before == tip:
            return Pulled(ALREADY, self._place_of(branch) or git.folder, branch, tip)
        if (other := self._place_of(branch)) is not None and before is not None:
            self._require_no_filter(began, tip, tip, other)
            return self._forward_there(branch, other, tip)
        git.run("update-ref", f"refs/heads/{branch}", tip, before or "0" * 40)
        self._require_no_filter(began, tip, branch, git.folder)
        done, why = self._here(tip, began, pulled, head)
        if done is None:
            done, path = WORKTREE, self._made_beside(branch)
        else:
            path = git.folder
        git.run("update-ref", f"{self._kept}/pulled", tip)
        return Pulled(done, path, branch, tip, why)

    def _commit(self, name: str) -> str | None:
        return self._git.says("rev-parse", "-q", "--verify", f"{name}^{{commit}}")

    def _is_behind(self, earlier: str, later: str) -> bool:
        return self._git.says("merge-base", "--is-ancestor", earlier, later) is not None

    # the branch

    def _branch(self, tip: str) -> tuple[str, str | None]:
        """The branch that takes it, and where it stands: a branch that has other work is left alone."""
        wanted = self._returned.branch
        others = (f"{wanted}-{self._returned.id[:8]}", wanted.replace("/", "-"))
        for name in (wanted, *others):
            before = self._commit(f"refs/heads/{name}")
            if self._is_free(name) if before is None else self._is_behind(before, tip):
                return name, before
        why = f"the branches {wanted} and {' and '.join(others)} have work of their own, or stand in each other's way"
        raise _refused(why, "rename one of them: git branch -m NAME OTHER-NAME")

    def _is_free(self, name: str) -> bool:
        """Whether git can make a branch of this name: not where a part of it is one, or where some begin with it."""
        parts = name.split("/")
        above = ["/".join(parts[:end]) for end in range(1, len(parts))]
        taken = any(self._git.says("show-ref", "-q", "--verify", f"refs/heads/{each}") is not None for each in above)
        return not taken and not self._git.text("for-each-ref", "--count=1", f"refs/heads/{name}/")

    def _place_of(self, branch: str) -> Path | None:
        """The working tree that has a branch checked out."""
        path = None
        for line in self._git.paths("worktree", "list", "--porcelain", "-z"):
            if line.startswith("worktree "):
                path = Path(line.removeprefix("worktree "))
            elif line == f"branch refs/heads/{branch}":
                return path
        return None

    def _require_no_filter(self, began: str, tip: str, called: str, place: Path) -> None:
        """Refuse to lay out files that a filter of the repository's own configuration would have to write."""
        if not (needed := filters.needed(self._git, began, tip, self._into)):
            return
        names = ", ".join(sorted(set(needed.values())))
        why = f"{shown(needed)}: .git/config has the filter {names} for it, and no command of that is run from here"
        raise _refused(why, f"its commits are here; if that is your filter: cd {place} && git merge {called}")

    def _forward_there(self, branch: str, place: Path, tip: str) -> Pulled:
        """It was pulled before, into a tree that stands on its branch: that one goes on."""
        there = guarded(Git(place, own_settings=True))
        if there.run("status", "--porcelain", "-z", "--ignore-submodules=dirty"):
            why = f"{place} stands on {branch} and has changes of its own"
            raise _refused(why, f"commit them, or put them aside: cd {place} && git stash -u")
        self._forward(there, tip)
        self._git.run("update-ref", f"{self._kept}/pulled", tip)
        return Pulled(FORWARD, place, branch, tip)

    # the tree

    def _here(self, tip: str, began: str, pulled: str | None, head: str | None) -> tuple[str | None, str]:
        """How it was taken into the user's own tree, or None and why it was not."""
        try:
            now = tree_of(self._git.folder, self._home, self._into)
        except RelayError as error:
            return None, f"{error.message}: {error.why}"
        known = [each for each in (pulled, began) if each is not None]
        same = next((each for each in known if self._git.text("rev-parse", f"{each}^{{tree}}") == now), None)
        if same is None:
            return None, "your tree has changed since"
        if same == head:
            return self._fast_forwarded(tip)
        if head is not None and not self._is_behind(head, same):
            return None, "your branch has moved since"
        return self._laid_onto(same, tip)

    def _fast_forwarded(self, tip: str) -> tuple[str | None, str]:
        try:
            self._forward(self._git, tip)
        except Failed as fault:
            return None, f"git would not move your branch: {fault.why}"
        return FORWARD, ""

    def _forward(self, git: Git, tip: str) -> None:
        words = ("--ff-only", "--no-overwrite-ignore", "--no-stat", "--no-autostash", "--no-verify-signatures")
        git.run("merge", "-q", *words, tip, seconds=LONG_S)

    def _laid_onto(self, before: str, tip: str) -> tuple[str | None, str]:
        if "160000" in self._git.text("diff-tree", "-r", "--no-renames", before, tip):
            return None, "it changes a submodule"
        made = self._into / "change.patch"
        patch(self._git, before, tip, made)
        why = applies(self._git, made)
        return (APPLIED, "") if why is None else (None, f"it does not fit onto your files: {why}")

    def _made_beside(self, branch: str) -> Path:
        top = self._git.folder
        path = self._beside or _free(top, self._returned)
        try:
            self._git.run("worktree", "add", "-q", "--", str(path), branch, seconds=LONG_S)
        except Failed as fault:
            why = f"its commits are on the branch {branch}, and no worktree could be made at {path}: {fault.why}"
            raise _refused(why, "name another place for it: --into DIR") from None
        return path


def _into_folder(returned: Returned, folder: Path, own_home: Path, into: Path, beside: Path | None) -> Pulled:
    """A plain folder: it is changed where it is as it was sent, or as it was after an earlier pull."""
    bare = scratch(returned, folder, into)
    (into / "now").mkdir()
    now = tree_of(folder, own_home, into / "now")
    commits = [returned.base, *bare.text("rev-list", "--reverse", f"{returned.base}..{returned.tip}").splitlines()]
    same = [each for each in commits if bare.text("rev-parse", f"{each}^{{tree}}") == now]
    if same and bare.text("rev-parse", f"{returned.tip}^{{tree}}") == now:
        return Pulled(ALREADY, folder, None, returned.tip)
    why = "your folder has changed since"
    if same:
        patch(bare, same[0], returned.tip, into / "change.patch")
        failed = applies(plain_git(into / "returned.git", folder), into / "change.patch")
        if failed is None:
            return Pulled(APPLIED, folder, None, returned.tip)
        why = f"it does not fit onto your files: {failed}"
    path = beside or _free(folder, returned)
    try:
        path.mkdir(parents=True)
    except OSError as fault:
        raise _refused(f"{path} cannot be made: {fault.strerror}", "name another place: --into DIR") from None
    git = plain_git(into / "returned.git", path).with_index(into / "laid-out")
    git.run("read-tree", returned.tip)
    git.run("checkout-index", "-a", "-q", seconds=LONG_S)
    return Pulled(FOLDER, path, None, returned.tip, why)


def _free(top: Path, returned: Returned) -> Path:
    """A folder beside the tree that is not there yet."""
    plain = returned.branch.replace("/", "-")
    for name in (f"{top.name}-{plain}", f"{top.name}-{plain}-{returned.id[:8]}"):
        if not os.path.lexists(top.parent / name):
            return top.parent / name
    raise _refused(f"{top.parent / name} is there already", "name another place for it: --into DIR")


def _refused(why: str, hint: str) -> Misuse:
    return Misuse("it cannot be pulled here", code=Code.BAD_TREE, why=why, hint=hint)

"""A working tree as it is, dirty and untracked, as a commit in a bundle.

    HEAD ── what is staged ── what is not: this commit's tree is the working tree
    (each only where it differs from the one before)

It is made in copies of the index, so that the user's own index, hooks, configuration and refs stay as they are, but for
`refs/relay/KEY/…`, by which its commits are kept until the changes come back. Of a long or cut off history a single
commit without parents travels; what comes back is then put onto the true one (`returning.py`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from relay.core.globs import Globs
from relay.core.values import frozen
from relay.core.withheld import is_withheld
from relay.core.workplaces import FOLDER, GIT, MAX_BUNDLE
from relay.git import tree as trees
from relay.git.command import LONG_S, Failed, Git
from relay.git.submodules import add_tracked, require_clean_submodules
from relay.git.taking_in import new_bare
from relay.git.tree import GITLINK, NO_COMMIT, Ground, refused, shown

MAX_HISTORY = 64 << 20
INCLUDE, MAX_INCLUDE = ".relayinclude", 1 << 20
_GONE = ("did not match any files", "unable to stat", "No such file or directory")
BARE_BYTES = "* -text -filter -ident -eol -working-tree-encoding\n"
"""Attributes that keep git from changing a byte of a plain folder."""


@frozen
class Snapshot:
    """What is sent.

    Attributes:
        key: what it is kept by here.
        kind: `git` or `folder`.
        commit: of the bundle; `tree`: its tree.
        base: the same tree on the true history; equal to `commit` where the history went along.
        sub: the folder in it where the person stands.
        bundle: the file.
        size: bytes of it.
        withheld: what stays here because it may be a secret.
        notes: what else a person should know.
    """

    key: str
    kind: str
    commit: str
    tree: str
    base: str
    sub: str
    bundle: Path
    size: int
    withheld: list[str]
    notes: list[str]


def _untold(repository: Path) -> None:
    """Nobody notes what is kept."""


def snapshot(
    folder: Path, own_home: Path, key: str, into: Path, *, keep: bool = True, note: Callable[[Path], None] = _untold
) -> Snapshot:
    """Make the bundle of the tree around a folder. Blocks.

    Args:
        folder: where the person stands.
        own_home: the broker's home.
        key: what it is kept by.
        into: an empty folder, private, for all that is made.
        keep: remember it in the user's repository.
        note: called with the repository's common folder, before anything is kept there.

    Raises:
        Misuse: `bad_tree`: it cannot travel; nothing was sent, and nothing changed.
        LocalFault: `no_git`, `git_failed`.
    """
    ground = trees.ground(folder, own_home)
    taking = _Taking(ground, into)
    try:
        made = taking.of_git(key, keep, note) if ground.is_git else taking.of_folder(key)
        if made.size > MAX_BUNDLE:
            why = f"packed it has {made.size >> 20} MiB, and {MAX_BUNDLE >> 20} MiB may go"
            raise refused("this tree is too big to send", why, "name in .gitignore what need not go, or use --repo URL")
    except BaseException:
        if ground.is_git:
            forget(ground.top, key)
        raise
    return made


def tree_of(folder: Path, own_home: Path, into: Path) -> str:
    """The name of the tree that a snapshot of this folder would have now; nothing is kept. Blocks; as `snapshot`."""
    ground = trees.ground(folder, own_home)
    taking = _Taking(ground, into)
    if not ground.is_git:
        return taking.folder_tree()
    return taking.working_tree()


class _Taking:
    """One snapshot.

    Args:
        ground: the tree.
        into: for the index copies, the bundle, and a plain folder's repository.
    """

    def __init__(self, ground: Ground, into: Path) -> None:
        self._ground = ground
        self._into = into
        self.withheld: set[str] = set()

    # a repository

    def of_git(self, key: str, keep: bool, note: Callable[[Path], None]) -> Snapshot:
        """As `snapshot`."""
        ground, git = self._ground, self._ground.git
        tree, staged = self.working_tree(), self._staged_tree()
        trees.require_total(git, tree)
        base = self._commit(ground.head, staged, "What was staged")
        base = self._commit(base, tree, "What was not staged, and not tracked")
        assert base is not None
        sent = base if self._history_fits(base) else self._commit(None, tree, "The working tree, without its history")
        assert sent is not None
        if sent != base:
            ground.notes.append("its history does not go along: there it begins with this tree")
        note(Path(git.text("rev-parse", "--path-format=absolute", "--git-common-dir")))
        bundle = self._bundle(git, key, sent)
        if keep:
            git.run("update-ref", f"refs/relay/{key}/tree", base)
        else:
            git.run("update-ref", "-d", f"refs/relay/{key}/sent")
        notes = ground.notes
        return Snapshot(
            key, GIT, sent, tree, base, ground.sub, bundle, bundle.stat().st_size, sorted(self.withheld), notes
        )

    def working_tree(self) -> str:
        """The tree as it is, once it is certain that it can travel."""
        git = self._ground.git.with_index(self._copied("working"))
        trees.require_no_conflict(git)
        self._show_hidden(git)
        tracked = {each.path for each in trees.entries(git, "ls-files", "-s", "-z") if each.mode == GITLINK}
        untracked = git.paths("ls-files", "-o", "-z", "--exclude-standard")
        trees.require_no_nested(untracked)
        untracked += self._included(git)
        fresh = [each for each in untracked if not is_withheld(each)]
        self.withheld |= set(untracked) - set(fresh)
        changed = git.paths("ls-files", "-m", "-z")
        trees.require_names(self._ground.top, fresh)
        trees.require_sizes(self._ground.top, [*fresh, *changed])
        with _standing_still():
            add_tracked(git, "--sparse")
        _add(git, fresh)
        self._keep_secrets_back(git)
        links = {each.path for each in trees.entries(git, "ls-files", "-s", "-z") if each.mode == GITLINK}
        trees.require_no_nested(f"{each}/" for each in links - tracked)
        require_clean_submodules(self._ground.top, links, self._ground.notes)
        trees.require_whole_content(self._ground, git)
        return git.text("write-tree")

    def _staged_tree(self) -> str:
        git = self._ground.git.with_index(self._copied("staged"))
        self._keep_secrets_back(git)
        return git.text("write-tree")

    def _copied(self, name: str) -> Path:
        """A copy of the user's index; with its time, by which git knows which files to look at again."""
        own = self._ground.git.text("rev-parse", "--path-format=absolute", "--git-path", "index")
        copy = self._into / name
        try:
            shutil.copy2(own, copy)
        except FileNotFoundError:
            pass  # nothing was ever added
        except OSError as fault:
            why = f"its index: {own}: {fault.strerror}"
            raise refused("this tree cannot be sent", why, "git status, here") from None
        return copy

    def _show_hidden(self, git: Git) -> None:
        """Look at files that git was told to take for unchanged, where they are there."""
        lines = git.paths("ls-files", "-v", "-z")
        marked = [line[2:] for line in lines if line[0] == "S" or line[0].islower()]
        there = [each for each in marked if os.path.lexists(self._ground.top / each)]
        if there:
            given = b"".join(os.fsencode(each) + b"\0" for each in there)
            git.run("update-index", "--no-skip-worktree", "-z", "--stdin", given=given)
            git.run("update-index", "--no-assume-unchanged", "-z", "--stdin", given=given)

    def _included(self, git: Git) -> list[str]:
        """Ignored files that `.relayinclude` names."""
        path = self._ground.top / INCLUDE
        try:
            if not stat.S_ISREG((found := path.stat()).st_mode) or found.st_size > MAX_INCLUDE:
                why = f"{INCLUDE} is no file, or longer than {MAX_INCLUDE >> 20} MiB"
                raise refused("this tree cannot be sent", why, "put it right, or remove it")
            lines = path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as fault:
            why = f"{INCLUDE}: {fault.strerror}"
            raise refused("this tree cannot be sent", why, "make it readable, or remove it") from None
        patterns = tuple(_pattern(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
        ignored = git.paths("ls-files", "-o", "-i", "-z", "--exclude-standard")
        return [each for each in ignored if not each.endswith("/") and _is_named(each, patterns)]

    def _keep_secrets_back(self, git: Git) -> None:
        """Of what may be a secret only what is committed already goes: it is in the history."""
        words = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--abbrev=40", self._ground.head or "")
        if self._ground.head is None:
            paths = [each.path for each in trees.entries(git, "ls-files", "-s", "-z")]
            before = dict.fromkeys(paths, ("0", NO_COMMIT))
        else:
            told = git.paths(*words)
            before = {told[at + 1]: _side(told[at]) for at in range(0, len(told) - 1, 2)}
        back = {path: side for path, side in before.items() if is_withheld(path)}
        self.withheld |= back.keys()
        if back:
            lines = [f"{mode} {name}\t".encode() + os.fsencode(path) + b"\0" for path, (mode, name) in back.items()]
            git.run("update-index", "-z", "--index-info", given=b"".join(lines))

    def _commit(self, parent: str | None, tree: str, message: str) -> str | None:
        git = self._ground.git
        if parent is not None and git.text("rev-parse", f"{parent}^{{tree}}") == tree:
            return parent
        return git.text("commit-tree", *(("-p", parent) if parent else ()), "-m", message, tree)

    def _history_fits(self, base: str) -> bool:
        if self._ground.is_shallow:
            return False
        used = self._ground.git.text("rev-list", "--disk-usage", "--objects", base, seconds=LONG_S)
        return int(used) <= MAX_HISTORY

    def _bundle(self, git: Git, key: str, commit: str) -> Path:
        ref, bundle = f"refs/relay/{key}/sent", self._into / "tree.bundle"
        git.run("update-ref", ref, commit)
        git.run("bundle", "create", "-q", str(bundle), ref, seconds=LONG_S)
        return bundle

    # a plain folder

    def of_folder(self, key: str) -> Snapshot:
        """As `snapshot`."""
        tree = self.folder_tree()
        git = self._folder_git()
        trees.require_total(git, tree)
        commit = git.text("commit-tree", "-m", "The folder as it was", tree)
        bundle = self._bundle(git, key, commit)
        size, notes = bundle.stat().st_size, self._ground.notes
        return Snapshot(key, FOLDER, commit, tree, commit, "", bundle, size, sorted(self.withheld), notes)

    def _folder_git(self) -> Git:
        return plain_git(self._into / "folder.git", self._ground.top)

    def folder_tree(self) -> str:
        """The folder as it is, once it is certain that it can travel."""
        new_bare(self._into / "folder.git")
        git = self._folder_git()
        found = git.paths("ls-files", "-o", "-z", "--exclude-standard")
        trees.require_no_nested(found)
        fresh = [each for each in found if not is_withheld(each)]
        self.withheld |= set(found) - set(fresh)
        trees.require_names(self._ground.top, fresh)
        trees.require_sizes(self._ground.top, fresh, is_plain=True)
        _add(git, fresh)
        trees.require_links_inside(git, trees.entries(git, "ls-files", "-s", "-z"))
        if empty := trees.empty_folders(self._ground.top):
            self._ground.notes.append(f"empty folders do not go along: {shown(empty)}")
        return git.text("write-tree")


def plain_git(git_dir: Path, folder: Path) -> Git:
    """Git over a plain folder, with a repository that stands elsewhere; no attribute changes a byte of it."""
    attributes = git_dir / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text(BARE_BYTES)
    return Git(folder, git_dir=git_dir, work_tree=folder)


def _add(git: Git, paths: list[str]) -> None:
    if paths:
        given = b"".join(os.fsencode(each) + b"\0" for each in paths)
        words = ("add", "-f", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
        with _standing_still():
            git.run("--literal-pathspecs", *words, given=given, seconds=LONG_S)


@contextlib.contextmanager
def _standing_still() -> Iterator[None]:
    """In this block files are read that were seen before: one that has gone since is the tree's doing, and not git's.

    Raises:
        Misuse: `bad_tree`.
    """
    try:
        yield
    except Failed as fault:
        if not any(words in fault.why for words in _GONE):
            raise
        hint = "send it again when nothing writes there, or commit and use --repo URL"
        raise refused("files went while they were read", fault.why, hint) from None


def _pattern(line: str) -> str:
    if line.startswith("/") or ".." in line.split("/"):
        raise refused(f"{INCLUDE} cannot be used", f"{line[:80]!r} leads out of the tree", "name files below its root")
    return f"{line}**" if line.endswith("/") else line


def _is_named(path: str, patterns: tuple[str, ...]) -> bool:
    globs = Globs(patterns)
    states = globs.start
    for name in path.split("/"):
        states = globs.step(states, name)
    return globs.is_match(states)


def _side(raw: str) -> tuple[str, str]:
    """Mode and content on the committed side of a line of `diff-index --raw`; mode 0 where there was none."""
    mode, _, name, *_ = raw.removeprefix(":").split()
    return ("0", NO_COMMIT) if mode == "000000" else (mode, name)


def told(made: Snapshot) -> list[str]:
    """What a person should know of what travels, a sentence each."""
    withheld = [f"withheld, as they may be secrets: {shown(made.withheld)}"] if made.withheld else []
    return [*withheld, *made.notes]


def forget(folder: Path, key: str) -> None:
    """Drop what the repository around a folder keeps for a snapshot that was not sent. Blocks."""
    git = Git(folder, own_settings=True)
    for name in ("sent", "tree"):
        git.says("update-ref", "-d", f"refs/relay/{key}/{name}")

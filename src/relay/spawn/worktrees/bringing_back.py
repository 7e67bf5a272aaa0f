"""What a task changed, as commits: its own, and one of what it left uncommitted.

All of it is read with the repository beside the tree. Of the task's own `.git` three things count: which commit HEAD
names, its objects, and what it excludes; its configuration and hooks are not looked at.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from relay.core.sources import is_commit
from relay.core.withheld import is_git_s_own, is_withheld
from relay.core.workplaces import MAX_BUNDLE, MAX_DIFFSTAT, MAX_FILE, UNBROUGHT
from relay.git.command import LONG_S, Git, Leash
from relay.git.snapshot import plain_git
from relay.git.sound import in_git_s_way, no_files, unsound_repository, unsound_within
from relay.git.submodules import add_tracked, filled
from relay.git.taking_in import borrow
from relay.git.tree import entries, leading_out, shown
from relay.spawn.worktrees.place import Began, Place

TIP, UNSOUND = "refs/relay/tip", ".git-unsound"
_STAT = ("--stat=100,72,60", "--no-color", "--no-ext-diff", "--no-textconv")


@dataclass(slots=True)
class Brought:
    """What changed.

    Attributes:
        base: the commit it began from; `tip`: the last one, equal to it where nothing changed.
        commits: how many lie between.
        diffstat: as `git diff --stat` shows it.
        bundle: the file with the commits; None where nothing changed, or they are too big.
        notes: what a person should know.
    """

    base: str
    tip: str
    commits: int = 0
    diffstat: str = ""
    bundle: Path | None = None
    notes: list[str] = field(default_factory=list)


def bring_back(place: Place, began: Began, message: str, into: Path, stop: Leash) -> Brought:
    """Make commits and a bundle of what changed in a place. Blocks.

    Args:
        place: the place, no process in it.
        began: its note.
        message: of the commit that is made.
        into: a private folder for the bundle.
        stop: set when it is to be given up.

    Raises:
        LocalFault: git failed; the place stays as it is.
        Stopped: it was given up.
    """
    bare = Git(place.beside, git_dir=place.beside, stop=stop)
    made = Brought(began.base, began.base)
    own = None if began.is_folder else _own(place, stop)
    borrow(place.beside, *place.lenders(began, own is not None))
    if place.has_tree:
        head = began.base if began.is_folder else _head(own, bare, began, made.notes)
        tree = _tree(place, began, own, head, made, into, stop)
        made.tip = _tip(bare, began, head, tree, message)
    else:  # what came back of it before still does
        head, made.tip = began.head, began.tip
        made.notes.append(f"{UNBROUGHT}: the folder that it worked in was removed meanwhile")
    if made.tip == began.base:
        return made
    bare.run("update-ref", TIP, made.tip)
    made.commits = int(bare.text("rev-list", "--count", f"{began.base}..{made.tip}"))
    made.diffstat = cut(bare.text("diff", *_STAT, began.base, made.tip, "--"))
    bundle = into / "change.bundle"
    bare.run("bundle", "create", "-q", str(bundle), TIP, f"^{began.base}", seconds=LONG_S)
    if bundle.stat().st_size > MAX_BUNDLE:
        made.notes.append(f"its changes are too big to come back, and stay on that machine in {place.tree}")
        bundle.unlink()
    else:
        # its objects are kept beside the tree as well: the next attempt may remove its own repository
        bare.run("bundle", "unbundle", str(bundle), seconds=LONG_S)
        made.bundle = bundle
    place.moved_on(began, made.tip, head)
    return made


def cut(text: str) -> str:
    """A diffstat within its bound; its last line, the sum, stays."""
    if len(text) <= MAX_DIFFSTAT:
        return text
    *lines, last = text.splitlines()
    kept, size = list[str](), 0
    for line in lines:
        size += len(line) + 1
        if size > MAX_DIFFSTAT - 200:
            break
        kept.append(line)
    return "\n".join([*kept, " ...", last[:100]])


def _head(own: Git | None, bare: Git, began: Began, notes: list[str]) -> str:
    """The task's last commit, where it descends from where the task began."""
    found = None if own is None else own.says("rev-parse", "-q", "--verify", "HEAD^{commit}")
    if is_commit(found) and bare.says("merge-base", "--is-ancestor", began.base, str(found)) is not None:
        return str(found)
    notes.append("its own commits do not descend from where it began, or are gone: its files come back as one commit")
    return began.tip


def _own(place: Place, stop: Leash) -> Git | None:
    """Git in the task's own repository, to look at its HEAD and its index; None where it is none any more.

    Nor is it one where a pipe or a device stands in it, that git would wait for.
    """
    own = place.tree / ".git"
    is_one = own.is_dir() and not own.is_symlink() and not unsound_repository(own)
    return Git(place.tree, git_dir=own, stop=stop) if is_one else None


def _added(place: Place, own: Git | None, listed: set[str]) -> list[str]:
    """What the task added to its index though it is ignored."""
    found = (own.says("ls-files", "-z") if own is not None else None) or ""
    names = [os.fsdecode(each) for each in found.encode("utf-8", "surrogateescape").split(b"\0") if each]
    return [each for each in names if each not in listed and _is_file(place.tree / each)]


def _is_file(path: Path) -> bool:
    return os.path.lexists(path) and not (path.is_dir() and not path.is_symlink())


def _tree(place: Place, began: Began, own: Git | None, head: str, made: Brought, into: Path, stop: Leash) -> str:
    if began.is_folder:
        git = plain_git(place.beside, place.tree)
    else:
        git = Git(place.tree, git_dir=place.beside, work_tree=place.tree)
    git = replace(git, index=into / "index", stop=stop)
    git.run("read-tree", head)
    _clear_the_way(place, git, made.notes)
    listing = ("ls-files", "-o", "-z", "--exclude-standard", "-x", f"{UNSOUND}-*", *_excluded(place, own))
    found = git.paths(*listing)
    if not began.is_folder:
        found += _added(place, own, {*found, *git.paths("ls-files", "-z")})
    unkept = {each for each in found if is_git_s_own(each, os.path.islink(place.tree / each))}
    fresh = [each for each in found if not each.endswith("/") and not is_withheld(each) and each not in unkept]
    nested, secret = [each for each in found if each.endswith("/")], [each for each in found if is_withheld(each)]
    big = {each for each in fresh if _is_big(place.tree / each)}
    for what, paths in (
        ("not brought back, as git takes their names for its own", unkept),
        ("repositories in it are not brought back", nested),
        ("not brought back, as they may be secrets", secret),
        (f"not brought back, as they have more than {MAX_FILE >> 20} MiB", big),
    ):
        if paths:
            made.notes.append(f"{what}: {shown(paths)}")
    if modules := filled(place.tree, add_tracked(git)):
        made.notes.append(f"what is in submodules is not brought back, but for the commit's name: {shown(modules)}")
    given = b"".join(os.fsencode(each) + b"\0" for each in fresh if each not in big)
    if given:
        words = ("--literal-pathspecs", "add", "-f", "--pathspec-from-file=-", "--pathspec-file-nul")
        git.run(*words, given=given, seconds=LONG_S)
    if began.is_folder:
        _drop_links_out(git, made)
    return git.text("write-tree")


def _clear_the_way(place: Place, git: Git, notes: list[str]) -> None:
    """Remove what is no file where git would read one, or has one: it holds nothing, and git would wait for its end."""
    inner = list[Path]()
    special = no_files(place.tree, inner)
    for at, why in unsound_within(inner).items():
        (at / ".git").rename(aside := at / f"{UNSOUND}-{os.urandom(4).hex()}")
        notes.append(f"the .git of a folder in it is called {aside.name} now, as git could not be run there: {why}")
    if wrong := in_git_s_way(special, git.paths("ls-files", "-z") if special else ()):
        for each in wrong:
            (place.tree / each).unlink()
        notes.append(f"removed, as they were pipes, sockets or devices in the place of files: {shown(wrong)}")


def _drop_links_out(git: Git, made: Brought) -> None:
    """Of a plain folder no link leads out, on either way: it would lead to something else."""
    if out := leading_out(git, entries(git, "ls-files", "-s", "-z")):
        given = b"".join(os.fsencode(each) + b"\0" for each in out)
        git.run("update-index", "--force-remove", "-z", "--stdin", given=given)
        made.notes.append(f"not brought back, as they are links that lead out of the folder: {shown(out)}")


def _excluded(place: Place, own: Git | None) -> tuple[str, ...]:
    """The patterns that tools put into a repository for themselves."""
    patterns = place.tree / ".git" / "info" / "exclude"
    if own is None or patterns.is_symlink() or not patterns.is_file():
        return ()
    return ("--exclude-from", str(patterns))


def _is_big(path: Path) -> bool:
    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and found.st_size > MAX_FILE


def _tip(bare: Git, began: Began, head: str, tree: str, message: str) -> str:
    """The commit that has all of it: what came back before is always behind it, so that it can be pulled again."""
    if bare.says("merge-base", "--is-ancestor", began.tip, head) is not None:
        parents = [head]
    elif head == began.head:
        parents = [began.tip]
    else:
        parents = [began.tip, head]
    if bare.text("rev-parse", f"{parents[0]}^{{tree}}") == tree and len(parents) == 1:
        return parents[0]
    words = [word for each in parents for word in ("-p", each)]
    return bare.text("commit-tree", *words, "-m", message, tree)

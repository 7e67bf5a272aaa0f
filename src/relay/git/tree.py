"""What stands in a working tree, and why it cannot travel. The user's index is only ever read."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.errors import Code, Misuse
from relay.core.values import frozen
from relay.core.withheld import is_git_s_own, links_out
from relay.core.workplaces import MAX_FILE
from relay.git import filters, sound
from relay.git.command import LOOK_S, Failed, Git
from relay.git.filters import guarded

MAX_FILES = 200_000
MAX_LAID_OUT = 4 << 30
SHOWN = 5
GITLINK, LINK = "160000", "120000"
NO_COMMIT = "0" * 40
_PARTIAL = r"^(extensions\.partialclone|remote\..*\.promisor)$"


@frozen
class Entry:
    """One path of a tree: its mode, as git writes it, the name of its content, and where it is."""

    mode: str
    name: str
    path: str


@dataclass(slots=True)
class Ground:
    """The tree that a person stands in.

    Attributes:
        top: its root, without links.
        sub: the folder in it where the person stands, relative; empty for the top.
        is_git: whether it is a git repository's.
        head: its commit, or None where there is none.
        is_shallow: whether its history was cut off, or is here only in part.
        git: runs git in it.
        notes: what a person should know of what travels.
    """

    top: Path
    sub: str
    is_git: bool
    git: Git
    head: str | None = None
    is_shallow: bool = False
    notes: list[str] = field(default_factory=list)


def refused(message: str, why: str, hint: str) -> Misuse:
    """The refusal of a tree."""
    return Misuse(message, code=Code.BAD_TREE, why=why, hint=hint)


def shown(paths: Iterable[str]) -> str:
    """The first few of these paths, for a sentence."""
    found = sorted(paths)
    names = ", ".join("".join(c if c.isprintable() else "?" for c in each)[:120] for each in found[:SHOWN])
    return names + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def ground(folder: Path, own_home: Path) -> Ground:
    """The tree around a folder.

    Args:
        folder: where the person stands.
        own_home: the broker's home, whose keys must not travel.

    Raises:
        Misuse: `bad_tree`: it cannot travel, and why.
        LocalFault: `no_git`.
    """
    folder = Path(os.path.realpath(folder))
    sound.require_sound(folder)
    git = Git(folder, own_settings=True)
    try:
        inside = git.text("rev-parse", "--is-inside-work-tree", seconds=LOOK_S)
    except Failed as fault:
        broken = sound.nearest(folder)
        if "not a git repository" not in fault.why or broken is not None:
            where = f", though there is {broken}" if broken is not None else ""
            raise refused("this tree cannot be sent", f"git says: {fault.why}{where}", "git status, here") from None
        found = Ground(folder, "", False, Git(folder))
        _require_harmless(found.top, own_home)
        _require_files(found)
        return found
    if inside != "true":
        why = "this folder is a repository's own, and not its working tree"
        raise refused("there is no working tree here", why, "cd into the working tree")
    top = Path(os.path.realpath(git.text("rev-parse", "--show-toplevel")))
    if not os.path.lexists(top / ".git"):
        why = f"core.worktree in its configuration says that its tree is {top}, which has no .git"
        raise refused("this tree cannot be sent", why, "git config --unset core.worktree, here; or use --repo URL")
    sub = "" if folder == top else str(folder.relative_to(top))
    found = Ground(top, sub, True, guarded(Git(top, own_settings=True)))
    _require_harmless(top, own_home)
    if found.git.text("rev-parse", "--show-object-format") != "sha1":
        raise refused("this tree cannot be sent", "its repository names its objects by SHA-256", "use --repo URL")
    found.head = found.git.says("rev-parse", "-q", "--verify", "HEAD^{commit}")
    if found.head is None and (lost := found.git.says("rev-parse", "-q", "--verify", "HEAD")):
        why = f"HEAD names the commit {lost[:12]}, and that is not in its repository"
        raise refused("this tree cannot be sent", why, "git fsck, here; or check out a commit that is there")
    is_cut = found.git.text("rev-parse", "--is-shallow-repository") == "true"
    found.is_shallow = is_cut or found.git.says("config", "--get-regexp", _PARTIAL) is not None
    _require_files(found)
    return found


def _require_files(found: Ground) -> None:
    """Refuse what is no file where git would read one, or where its index has one."""
    inner = list[Path]()
    special = sound.no_files(found.top, inner)
    for why in sound.unsound_within(inner).values():
        raise refused("git cannot be run here", why, "look what stands there (ls -l), and put it right or remove it")
    tracked = found.git.paths("ls-files", "-z", "--full-name") if special and found.is_git else ()
    if wrong := sound.in_git_s_way(special, tracked):
        why = f"pipes, sockets and devices have nothing that can travel: {shown(wrong)}"
        raise refused("there is something else where a file should be", why, "remove them, or put the files back")


def _require_harmless(top: Path, own_home: Path) -> None:
    homes = {os.path.realpath(os.path.expanduser("~"))}
    try:
        homes.add(os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir))
    except KeyError:
        pass  # a user without an entry has only what HOME says
    if any(_is_within(home, str(top)) for home in homes):
        why = f"{top} is your home folder, or holds it: keys, mail and everything else would go along"
        raise refused("a home folder is not sent", why, "cd into the project's own folder")
    if _is_within(os.path.realpath(own_home), str(top)):
        why = f"this broker's own home, with its keys, lies in it: {own_home}"
        raise refused("this tree cannot be sent", why, "cd into the project's own folder")


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def entries(git: Git, *words: str) -> list[Entry]:
    """The entries that `git ls-files -s -z` or `git ls-tree -r -z` lists."""
    found = []
    for line in git.paths(*words):
        facts, _, path = line.partition("\t")
        parts = facts.split()
        found.append(Entry(parts[0], parts[2] if parts[1] in ("blob", "commit", "tree") else parts[1], path))
    return found


def require_no_conflict(git: Git) -> None:
    """Refuse a tree in the middle of a merge that is not resolved: its stages would be lost.

    Raises:
        Misuse: `bad_tree`.
    """
    if conflicted := {line.partition("\t")[2] for line in git.paths("ls-files", "-u", "-z")}:
        why = f"not resolved: {shown(conflicted)}; the three sides of a conflict do not travel"
        raise refused("this tree is in the middle of a merge", why, "resolve it, or abort it: git merge --abort")


def require_no_nested(untracked: Iterable[str]) -> None:
    """Refuse repositories inside of the tree: git would keep a name for them, and silently none of their content.

    Raises:
        Misuse: `bad_tree`.
    """
    if nested := [each for each in untracked if each.endswith("/")]:
        why = f"git would send none of the content of {shown(nested)}"
        raise refused("there is another repository in this tree", why, "move it away, or name it in .gitignore")


def require_names(top: Path, paths: Iterable[str]) -> None:
    """Refuse files that git does not keep for their names.

    Raises:
        Misuse: `bad_tree`.
    """
    if own := [each for each in paths if is_git_s_own(each, os.path.islink(top / each))]:
        why = f"git takes them for its own, here or on another disk: {shown(own)}"
        raise refused("there are names in this tree that no git keeps", why, "rename them, or name them in .gitignore")


def require_sizes(top: Path, paths: Iterable[str], is_plain: bool = False) -> None:
    """Refuse what is too big to travel.

    Args:
        top: the tree's root.
        paths: of the files that are not in the repository as they are.
        is_plain: whether there is no repository.

    Raises:
        Misuse: `bad_tree`.
    """
    big, count = [], 0
    for path in paths:
        count += 1
        try:
            found = os.lstat(top / path)
        except OSError:
            continue  # it went, or is a deleted one
        if stat.S_ISREG(found.st_mode) and found.st_size > MAX_FILE:
            big.append(f"{path} ({found.st_size >> 20} MiB)")
    hint = "move them away" if is_plain else "name them in .gitignore, or move them away"
    if big:
        raise refused("there are files too big to send", f"more than {MAX_FILE >> 20} MiB: {shown(big)}", hint)
    if count > MAX_FILES:
        raise refused("there are too many files to send", f"{count}, and {MAX_FILES} may go at once", hint)


def require_total(git: Git, tree: str) -> None:
    """Refuse a tree that is too big once it is laid out, however small it is packed.

    Raises:
        Misuse: `bad_tree`.
    """
    total = 0
    for line in git.paths("ls-tree", "-r", "-l", "-z", tree):
        size = line.partition("\t")[0].split()[3]
        total += int(size) if size.isdigit() else 0
    if total > MAX_LAID_OUT:
        why = f"its files have {total >> 20} MiB together, and {MAX_LAID_OUT >> 20} MiB may go"
        raise refused("this tree is too big to send", why, "name in .gitignore what need not go, or use --repo URL")


def empty_folders(top: Path) -> list[str]:
    """The folders below a plain one that have nothing in them, which git does not keep."""
    found = []
    for at, folders, names in os.walk(top):
        if not folders and not names and Path(at) != top:
            found.append(str(Path(at).relative_to(top)))
    return found


def require_whole_content(ground: Ground, git: Git) -> None:
    """Refuse files whose content git keeps elsewhere, or in another form (LFS, git-crypt): it would not travel.

    Args:
        ground: the tree.
        git: with the index that holds it.

    Raises:
        Misuse: `bad_tree`.
    """
    configured = git.says("config", "--get-regexp", r"^filter\..*\.(clean|process)$") or ""
    active = {line.split()[0].split(".", 1)[1].rpartition(".")[0] for line in configured.splitlines() if line}
    if not active:
        return
    held = {each.path: each.name for each in entries(git, "ls-files", "-s", "-z") if each.mode not in (GITLINK, LINK)}
    # what a silenced filter did not touch is what it is only where it is as it was
    before = {each.path: each.name for each in entries(ground.git, "ls-files", "-s", "-z")} if git.silenced else {}
    filtered = [(path, name) for path, name in filters.of_paths(git, held) if name in active]
    known = {path: before.get(path, "") if name in git.silenced else held[path] for path, name in filtered}
    other = [(path, name) for path, name in filtered if _differs(git, ground.top, path, known[path])]
    if other:
        names = ", ".join(sorted({name for _, name in other}))
        why = f"the filter {names} keeps the content of {shown(path for path, _ in other)} elsewhere or in another form"
        raise refused("some files would arrive without their content", why, "use --repo URL, or check out the pointers")


def _differs(git: Git, top: Path, path: str, name: str) -> bool:
    if not os.path.lexists(top / path):
        return False
    return git.text("hash-object", "--no-filters", "--", path) != name


def leading_out(git: Git, listed: Iterable[Entry]) -> list[str]:
    """The symbolic links that lead out of the tree they are in."""
    links = [each for each in listed if each.mode == LINK]
    return [each.path for each in links if links_out(each.path, os.fsdecode(git.run("cat-file", "blob", each.name)))]


def require_links_inside(git: Git, listed: Iterable[Entry]) -> None:
    """Refuse symbolic links of a plain folder that lead out of it.

    Raises:
        Misuse: `bad_tree`.
    """
    if out := leading_out(git, listed):
        why = f"{shown(out)}: on another machine they would lead to something else"
        raise refused("links lead out of this folder", why, "remove them, or make them relative and inside of it")

"""Whether git comes back from a tree: a pipe or a device that stands where it reads a file would hold it for ever.

Looked at with `lstat` and `stat` alone, before any git runs there; nothing is opened that is no regular file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from relay.core.errors import Code, Misuse
from relay.git.includes import MOST, included

MOST_ENTRIES = 2_000_000
MOST_BYTES = 1 << 20
READ_IN_A_TREE = frozenset({".gitignore", ".gitattributes"})
_UNREAD = frozenset({"hooks", "lfs", "modules", "annex"})  # of .git: a module is a repository of its own
_MOST_OF = dict.fromkeys(("HEAD", "commondir", "gitdir", "alternates"), 1 << 20) | dict.fromkeys(
    ("config", "config.worktree", "exclude", "attributes"), 16 << 20
) | dict.fromkeys(("index", "packed-refs", "shallow"), 1 << 30)
_GIT_S = frozenset({"HEAD", "config", "objects"})


def require_sound(folder: Path) -> None:
    """Refuse to run git in a folder where it would not come back.

    Args:
        folder: without links.

    Raises:
        Misuse: `bad_tree`.
    """
    if why := unsound(folder):
        raise _refused(why)


def require_file(path: Path) -> None:
    """Refuse what git would read as a file, and would not come back from; as `require_sound`."""
    if why := _no_file(path):
        raise _refused(why)


def _refused(why: str) -> Misuse:
    hint = "look what stands there (ls -l), and put it right or remove it"
    return Misuse("git cannot be run here", code=Code.BAD_TREE, why=why, hint=hint)


def unsound(folder: Path) -> str:
    """Why git would not come back from the repository around a folder, or an empty text."""
    for at in (folder, *folder.parents):
        # git takes each of them for a bare repository, if its HEAD is one
        if why := _no_file(at / "HEAD"):
            return why
        if why := unsound_repository(_git_dir_of(at)):
            return why
        if _is_like_one(at / ".git"):
            return ""  # git goes no further up
    return ""


def unsound_source(path: Path) -> str:
    """Why git would not come back from a repository that it fetches from, or an empty text.

    Args:
        path: as it is asked for: git looks for `.git` below it, and for a name that ends so.
    """
    for each in (path, path.with_name(f"{path.name}.git")):
        if why := unsound_repository(_git_dir_of(each)) or _no_file(each / "HEAD"):
            return why
        if (each / "objects").exists() and (why := unsound_repository(each)):
            return why
    return ""


def unsound_repository(git_dir: Path) -> str:
    """Why git would not come back from this repository, or an empty text; also of one that is not there."""
    seen: set[tuple[int, int]] = set()
    count = 0
    for path in _parts(git_dir):
        if why := _wrong_include(path / "config", path / "config.worktree"):
            return why
        for name, why in _walked(path, seen):
            count += 1
            if why:
                return why
            if count > MOST_ENTRIES:
                return f"there are more than {MOST_ENTRIES} files in {git_dir}, the last one {name}"
    return ""


def _wrong_include(*configs: Path) -> str:
    """What is wrong with a file that a configuration includes, or that such a file does; empty for nothing."""
    waiting, known = list(configs), set[Path]()
    while waiting and len(known) < MOST:
        if (config := waiting.pop()) in known:
            continue
        known.add(config)
        if why := _no_file(config) or _too_long(config, _MOST_OF["config"]):
            return why
        waiting += included(config, _said(config, _MOST_OF["config"]))
    return ""


def nearest(folder: Path) -> Path | None:
    """The `.git` of a folder or of one above it that has something of a repository in it; None where there is none."""
    return next((own for at in (folder, *folder.parents) if _is_like_one(own := at / ".git")), None)


def _is_like_one(own: Path) -> bool:
    return own.is_file() or any(os.path.lexists(own / each) for each in _GIT_S)


def no_files(top: Path, repositories: list[Path] | None = None) -> list[str]:
    """What is neither file, folder nor link in a tree, relative to it; git's own folders are passed over.

    Args:
        top: the tree's root.
        repositories: takes the folders below it that have a `.git` of their own: git looks into each.
    """
    found, folders = [], [top]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for each in entries:
                if each.name == ".git" and repositories is not None and (at := Path(each.path).parent) != top:
                    repositories.append(at)
                if each.is_file(follow_symlinks=False) or each.is_symlink():
                    continue
                if not each.is_dir(follow_symlinks=False):
                    found.append(os.path.relpath(each.path, top))
                elif each.name != ".git":
                    folders.append(Path(each.path))
    return sorted(found)


def unsound_within(repositories: Iterable[Path]) -> dict[Path, str]:
    """Of the repositories inside of a tree those that git would not come back from, and why."""
    return {at: why for at in repositories if (why := unsound_repository(_git_dir_of(at)))}


def _git_dir_of(top: Path) -> Path:
    """The repository that a tree's `.git` is, or names."""
    own = top / ".git"
    return top / os.fsdecode(said[8:]) if own.is_file() and (said := _said(own)).startswith(b"gitdir: ") else own


def _parts(git_dir: Path) -> Iterator[Path]:
    """The folders that make up a repository: its own, the one that it shares, and those it borrows objects from."""
    yield git_dir
    common = git_dir / os.fsdecode(_said(git_dir / "commondir"))
    if common != git_dir:
        yield common
    waiting, known = [common / "objects"], set[str]()
    while waiting and len(known) < 100:
        objects = waiting.pop()
        if (real := os.path.realpath(objects)) in known:
            continue
        known.add(real)
        yield objects
        lines = _said(objects / "info" / "alternates").split(b"\n")
        waiting += [objects / os.fsdecode(line) for line in lines if line and not line.startswith((b"#", b'"'))]


def _walked(top: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """Each entry of a repository's folder with what is wrong with it; links are followed, no folder twice."""
    folders = [top]
    while folders:
        at = folders.pop()
        try:
            own = at.stat()
            if not stat.S_ISDIR(own.st_mode) or (own.st_dev, own.st_ino) in seen:
                continue
            seen.add((own.st_dev, own.st_ino))
            with os.scandir(at) as entries:
                for each in entries:
                    if each.is_file(follow_symlinks=False):
                        yield each.path, "" if "logs" in at.parts else _too_long(Path(each.path))
                        continue
                    path = Path(each.path)
                    yield each.path, _no_file(path)
                    if each.name not in _UNREAD and path.is_dir():
                        folders.append(path)
        except OSError:
            continue  # git will say by itself that it cannot be read


def _no_file(path: Path) -> str:
    """What is wrong with something that git reads as a file, if it is there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return ""
    except OSError as fault:
        return f"{_plain(path)}: {fault.strerror}" if path.is_symlink() else ""
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
    what = next((word for is_one, word in kinds if is_one(mode)), "")
    return f"{_plain(path)} is {what}, and git would wait for its end" if what else ""


def _too_long(path: Path, most: int | None = None) -> str:
    """What is wrong with a file that git reads as a whole, where it is longer than any that git makes."""
    most = _MOST_OF.get(path.name) if most is None else most
    try:
        size = 0 if most is None else path.stat().st_size
    except OSError:
        return ""
    return "" if most is None or size <= most else f"{_plain(path)} has {size >> 20} MiB, and git would read all of it"


def _said(path: Path, most: int = MOST_BYTES) -> bytes:
    """The text in a regular file that is not too long, without the last line's end; empty where it is none."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            return b""
        return path.read_bytes().rstrip(b"\r\n")
    except (OSError, ValueError):
        return b""


def _plain(path: Path) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(path))


def in_git_s_way(special: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """Of what is no file, that which git reads, or has as a file.

    Args:
        special: as `no_files` lists it.
        tracked: the paths of git's index.
    """
    special = list(special)
    known = frozenset(tracked) if special else frozenset[str]()
    return [each for each in special if each in known or os.path.basename(each) in READ_IN_A_TREE]

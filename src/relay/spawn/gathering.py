"""Finding the files that a spawn's origin wants back, below its directory and nowhere else.

The walk holds a descriptor of each folder it is in and opens names in it without following links, so that nothing that
the task left behind, or still moves, leads out of the directory. Everything here blocks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from relay.core.collected import MODE_BITS, is_path
from relay.core.globs import Globs, States
from relay.core.values import frozen

MAX_LOOKED_AT = 100_000
MAX_DEPTH = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# without blocking: what looks like a file may be a pipe by the time it is opened
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(slots=True)
class Left:
    """What was asked for and is not taken, by reason.

    Attributes:
        paths: the first few of each reason.
        counts: how many there are of each.
        matched: the places of the patterns that asked for something that is there.
        is_whole: whether all was looked at that a pattern may ask for.
    """

    paths: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    matched: set[int] = field(default_factory=set)
    is_whole: bool = True

    def unread(self, why: str, path: str) -> None:
        """As `note`, of what could not be looked at."""
        self.is_whole = False
        self.note(why, path)

    def note(self, why: str, path: str) -> None:
        """One more, with the reason as it follows "left out: "."""
        self.counts[why] = self.counts.get(why, 0) + 1
        named = self.paths.setdefault(why, [])
        if len(named) < 3:
            named.append(path.encode("utf-8", "replace").decode()[:200])

    def sentences(self) -> list[str]:
        """A sentence for each reason."""
        return [f"{self._named(why)} not collected: {why}" for why in self.counts]

    def _named(self, why: str) -> str:
        more = self.counts[why] - len(self.paths[why])
        names = ", ".join("".join(c if c.isprintable() else "?" for c in path) for path in self.paths[why])
        return f"{names}{f' and {more} more' if more else ''}"


@frozen
class Found:
    """One file that is asked for, open for reading; who gets it closes it.

    Attributes:
        path: relative to the directory.
        size: bytes, as of now.
        mode: permission bits.
        handle: a descriptor.
    """

    path: str
    size: int
    mode: int
    handle: int


def gathered(directory: str, patterns: tuple[str, ...], left: Left) -> Iterator[Found]:
    """The regular files below a directory that one of the patterns asks for, by name.

    Args:
        directory: an absolute path without links in it, as it was when the task was started.
        patterns: as in `relay.core.globs`.
        left: told of what is passed over.
    """
    if os.path.realpath(directory) != directory:
        left.unread("the directory is not what it was when the task was started", directory)
        return
    try:
        root = os.open(directory, _FOLDER)
    except OSError as fault:
        left.unread(f"the directory cannot be read: {fault.strerror}", directory)
        return
    globs = Globs(patterns)
    yield from _Walk(globs, left).below(root, "", globs.start, 0)


class _Walk:
    def __init__(self, globs: Globs, left: Left) -> None:
        self._globs = globs
        self._left = left
        self._looked_at = 0

    def below(self, folder: int, prefix: str, states: States, depth: int) -> Iterator[Found]:
        """The files below an open folder, which is closed at the end."""
        try:
            for name in self._names(folder, prefix):
                after = self._globs.step(states, name)
                if after and self._may_look():
                    yield from self._entry(folder, name, f"{prefix}{name}", after, depth)
        finally:
            os.close(folder)

    def _names(self, folder: int, prefix: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError as fault:
            self._left.unread(f"the folder cannot be read: {fault.strerror}", prefix or ".")
            return []

    def _may_look(self) -> bool:
        self._looked_at += 1
        if self._looked_at == MAX_LOOKED_AT + 1:
            why = f"more than {MAX_LOOKED_AT} names had to be looked at; narrower patterns help"
            self._left.unread(why, "the rest")
        return self._looked_at <= MAX_LOOKED_AT

    def _entry(self, folder: int, name: str, path: str, states: States, depth: int) -> Iterator[Found]:
        try:
            kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            self._left.matched |= self._globs.matching(states)
            if stat.S_ISDIR(kind):
                yield from self._folder(folder, name, path, states, depth)
            elif self._globs.is_match(states) and (found := self._file(folder, name, path, kind)) is not None:
                yield found
        except FileNotFoundError:
            return  # it went since it was listed
        except OSError as fault:
            self._left.unread(f"it cannot be read: {fault.strerror}", path)

    def _folder(self, folder: int, name: str, path: str, states: States, depth: int) -> Iterator[Found]:
        if self._globs.is_match(states) and not self._globs.goes_on(states):
            self._left.note("it is a folder; NAME/** asks for what is in it", path)
        elif depth >= MAX_DEPTH:
            self._left.unread(f"more than {MAX_DEPTH} folders deep", path)
        elif self._globs.goes_on(states):
            yield from self.below(os.open(name, _FOLDER, dir_fd=folder), f"{path}/", states, depth + 1)

    def _file(self, folder: int, name: str, path: str, kind: int) -> Found | None:
        if stat.S_ISLNK(kind):
            self._left.note("it is a link, and no link is followed", path)
        elif not stat.S_ISREG(kind):
            self._left.note("it is no regular file", path)
        elif not is_path(path):
            why = "its name cannot be told: not UTF-8, not printable, with a backslash, or longer than 512 bytes"
            self._left.note(why, path)
        else:
            return self._opened(folder, name, path)
        return None

    def _opened(self, folder: int, name: str, path: str) -> Found | None:
        handle = os.open(name, _FILE, dir_fd=folder)
        found = os.fstat(handle)
        if stat.S_ISREG(found.st_mode):
            return Found(path, found.st_size, found.st_mode & MODE_BITS, handle)
        os.close(handle)
        self._left.note("it is no regular file", path)
        return None

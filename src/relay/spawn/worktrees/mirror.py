"""Bare copies of the repositories that spawns were asked to work in: fetched once, and then only what is new.

A mirror is a cache. Nothing works in it: each spawn gets a repository of its own, made from it on the same disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import defaultdict
from pathlib import Path

from relay.core.errors import Code, LocalFault
from relay.core.sources import is_commit, read_source
from relay.git.command import LONG_S, Failed, Git, Leash
from relay.git.sound import unsound_source
from relay.git.taking_in import new_bare
from relay.spawn.worktrees.place import MIRRORS, remove_tree

_log = logging.getLogger(__name__)


class Mirrors:
    """The mirrors of this machine.

    Args:
        root: the folder of worktrees.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / MIRRORS
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def path(self, name: str) -> Path:
        """Where the mirror of that name is."""
        return self._root / name

    def fetched(self, url: str, ref: str | None, stop: Leash) -> tuple[str, str]:
        """Bring the mirror of a repository up to date. Blocks.

        Args:
            url: as `read_source` lets it through.
            ref: a branch, tag or commit; None for its HEAD.
            stop: set when it is to be given up.

        Returns:
            The mirror's name, and the commit that is meant.

        Raises:
            LocalFault: `place_failed`, with git's own last words.
            Stopped: it was given up.
        """
        source = read_source(url)
        if source.protocol == "file" and (why := unsound_source(Path(source.url))):
            raise _failed(f"{source.url} could not be fetched", why)
        name = hashlib.sha256(source.url.encode()).hexdigest()[:32]
        with self._locks[name]:
            git = self._opened(name, source.protocol, stop)
            try:
                self._fetch(git, source.url)
            except Failed as fault:
                raise _failed(f"{source.url} could not be fetched", f"git says: {fault.why}") from None
            os.utime(self.path(name))
            return name, self._meant(git, source.url, ref)

    def _opened(self, name: str, protocol: str, stop: Leash) -> Git:
        path = self.path(name)
        git = Git(path, git_dir=path, protocols=(protocol,), own_settings=True, stop=stop)
        if not path.is_dir() or git.says("rev-parse", "--git-dir") is None:
            remove_tree(path)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # git would make it by the umask
            making = path.with_name(f"{name}.{os.urandom(4).hex()}")
            new_bare(making)
            making.rename(path)
        return git

    def _fetch(self, git: Git, url: str) -> None:
        # HEAD is asked for by name, since it is no branch. Branches that are gone go: they would be worked from, and be
        # in the way of others (`x` of `x/y`). Their commits stay, as places may need them: nothing collects here.
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+HEAD:refs/relay/HEAD")
        words = ("fetch", "-q", "--no-tags", "--prune", "--force", "--no-write-fetch-head", "--no-auto-maintenance")
        try:
            git.run(*words, "--", url, *refs, seconds=LONG_S)
        except Failed as fault:
            if "HEAD" not in fault.why:
                raise
            git.run(*words, "--", url, *refs[:-1], seconds=LONG_S)  # its HEAD names a branch that is not there
            git.run("update-ref", "-d", "refs/relay/HEAD")

    def _meant(self, git: Git, url: str, ref: str | None) -> str:
        if ref is None:
            names = ["refs/relay/HEAD"]
        else:
            names = [f"refs/heads/{ref}", f"refs/tags/{ref}", *([ref] if is_commit(ref) else ())]
        for each in names:
            if (found := git.says("rev-parse", "-q", "--verify", f"{each}^{{commit}}")) is not None:
                return found
        what = "its HEAD names no commit" if ref is None else f"it has no branch, tag or fetched commit {ref!r}"
        raise LocalFault(
            f"there is nothing to work from in {url}",
            code=Code.PLACE_FAILED,
            why=what,
            hint="name one that it has: --repo URL@BRANCH",
        )


def _failed(message: str, why: str) -> LocalFault:
    hint = "try it on that machine, as the broker's user: git ls-remote URL"
    return LocalFault(message, code=Code.PLACE_FAILED, why=why, hint=hint)

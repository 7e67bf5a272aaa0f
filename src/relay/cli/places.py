"""The place that `relay spawn` brings along: what `--repo`, `--here` and `--push` say, as the request has it."""

from __future__ import annotations

import contextlib
import os

from relay.cli import speech
from relay.cli.blanks import refuse_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from relay.api.client import Client
    from relay.api.home import Home
    from relay.api.shapes import Spawn
    from relay.core.errors import Misuse
    from relay.git.unsent import Note

KEY_BYTES = 10


class Place:
    """The place of one request.

    Args:
        words: as the request has it; None where none is asked for.
        note: of the tree that it sends along.
        key: what that tree is kept by.
    """

    __slots__ = ("_key", "_note", "words")

    def __init__(self, words: dict[str, Any] | None, note: Note | None = None, key: str = "") -> None:
        self.words = words
        self._note = note
        self._key = key

    def answered(self, spawn: Spawn) -> None:
        """The request was taken: its tree is that spawn's, unless it was asked for before, with another one."""
        if self._note is None:
            return
        if _key_of(spawn) != self._key:
            from pathlib import Path

            from relay.git.snapshot import forget

            forget(Path.cwd(), self._key)
        self._note.drop()


def _key_of(spawn: Spawn) -> str | None:
    place = spawn.get("place")
    return place["key"] if place else None


@contextlib.contextmanager
def place(
    home: Home,
    *,
    repo: str | None,
    here: bool,
    push: bool,
    push_to: str | None,
    cwd: str | None,
    broker: str | None,
    every: str | None,
    name: str,
    keep: bool,
    quiet: bool = False,
) -> Iterator[Place]:
    """The place of a request, for the time in which its file is needed.

    Args:
        home: the broker's.
        repo, here, push, push_to, cwd, broker, every: as typed.
        name: the spawn's.
        keep: the tree is sent, and remembered in the user's repository; else it is only looked at.
        quiet: no word of what takes long where nobody watches.

    Raises:
        Misuse: they do not go together, or this tree cannot be sent.
    """
    refuse_blank(repo=repo, push_to=push_to)
    _require_fitting(repo, here, push, push_to, cwd, every)
    if repo is not None:
        yield Place(_repository(repo, broker) | _pushed(push, push_to))
    elif here:
        with _tree(home, name, keep, quiet) as made:
            assert made.words is not None
            made.words |= _pushed(push, push_to)
            yield made
    else:
        yield Place(None)


def _require_fitting(
    repo: str | None, here: bool, push: bool, push_to: str | None, cwd: str | None, every: str | None
) -> None:
    if repo is not None and here:
        raise _misuse("--repo and --here name two places", "a spawn works in one", "give one of them")
    if cwd is not None and (repo is not None or here):
        why = "they bring a place along, in a folder of its own"
        raise _misuse("--cwd goes with neither --repo nor --here", why, "give one of them")
    if here and every is not None:
        why = "--here sends the tree as it is now, and each run would find that one"
        raise _misuse("a schedule sends no tree along", why, "--every with --repo URL[@REF]")
    if (push or push_to is not None) and repo is None and not here:
        raise _misuse("there is nothing to push", "only what was changed in --repo or --here is pushed", "add one")
    if push and (here or push_to is not None):
        why = "a tree that is sent along has no remote there" if here else "--push-to names where"
        raise _misuse("--push is for --repo alone, which it pushes to", why, "--push-to URL")


def _misuse(message: str, why: str, hint: str) -> Misuse:
    from relay.core.errors import Misuse

    return Misuse(message, why=why, hint=hint)


def _repository(text: str, broker: str | None) -> dict[str, Any]:
    from relay.core.errors import Code, Misuse
    from relay.core.sources import is_ref, read_source, split_ref

    url, ref = split_ref(text)
    if ref is not None and not is_ref(ref):
        why = "behind the @ stands a branch, a tag or a whole commit"
        raise Misuse(f"{ref[:80]!r} names no commit", code=Code.BAD_SOURCE, why=why, hint="--repo URL@main")
    if broker is None and ":" not in url:  # a path of this machine
        url = os.path.abspath(os.path.expanduser(url))
    read_source(url)
    return {"repo": url} | ({"ref": ref} if ref is not None else {})


def _pushed(push: bool, push_to: str | None) -> dict[str, str]:
    if push_to is None:
        return {"push": "origin"} if push else {}
    from relay.core.sources import read_source

    read_source(push_to)
    return {"push": push_to}


@contextlib.contextmanager
def _tree(home: Home, name: str, keep: bool, quiet: bool) -> Iterator[Place]:
    from pathlib import Path

    from relay.api import routes
    from relay.api.client import Client
    from relay.cli.progress import Shown
    from relay.core.errors import Misuse, Refused
    from relay.git.rooms import HERE, room
    from relay.git.snapshot import forget, snapshot, told
    from relay.git.unsent import Note

    client = Client(home)
    if keep:
        client.ask(routes.status())  # where no broker runs nothing is packed for it, and nothing kept
    key = os.urandom(KEY_BYTES).hex()  # not of the operation: what is sent again under it may be another tree by now
    note = Note(Path(home.folder), key, name)

    def noted(repository: Path) -> None:
        if keep:
            _sweep(client, home, repository)
        note.write(repository)

    with contextlib.closing(client), contextlib.closing(note), room(home.folder, HERE) as into:
        try:
            with Shown("packing the tree that you stand in", quiet=quiet):
                made = snapshot(Path.cwd(), Path(home.folder), key, into, keep=keep, note=noted)
        except BaseException:
            note.drop()  # nothing of it is kept
            raise
        for each in told(made):
            speech.note(f"note:  {each}")
        words = {"tree": {"key": key, "kind": made.kind, "commit": made.commit, "tree": made.tree}, "sub": made.sub}
        if not keep:
            note.drop()
        try:
            yield Place(words | ({"file": str(made.bundle)} if keep else {}), note, key)
        except (Misuse, Refused):
            forget(Path.cwd(), key)  # it was certainly not taken
            note.drop()
            raise


def _sweep(client: Client, home: Home, repository: Path) -> None:
    """Drop what commands that were killed have left in a repository, but for what a spawn was made of after all."""
    from pathlib import Path

    from relay.api import routes
    from relay.core.errors import RelayError
    from relay.git.snapshot import forget
    from relay.git.unsent import left

    with contextlib.suppress(RelayError):  # it stays for the next one
        for each in left(Path(home.folder), repository):
            found = client.ask(routes.listing({"all": True, "name": each.name}))
            if any(_key_of(spawn) == each.key for spawn in found["spawns"]):
                each.path.unlink(missing_ok=True)
            elif found["matched"] == len(found["spawns"]):
                forget(Path.cwd(), each.key)
                each.path.unlink(missing_ok=True)

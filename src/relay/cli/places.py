"""The place that `relay spawn` brings along: what `--repo`, `--here` and `--push` say, as the request has it."""

from __future__ import annotations

import contextlib
import os

from relay.cli import speech
from relay.cli.blanks import refuse_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from relay.api.home import Home
    from relay.core.errors import Misuse

KEY_BYTES = 10


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
    keep: bool,
) -> Iterator[dict[str, Any] | None]:
    """The place in the request's words, for the time in which its file is needed; None where none is asked for.

    Args:
        home: the broker's.
        repo, here, push, push_to, cwd, broker, every: as typed.
        keep: the tree is sent, and remembered in the user's repository; else it is only looked at.

    Raises:
        Misuse: they do not go together, or this tree cannot be sent.
    """
    refuse_blank(repo=repo, push_to=push_to)
    _require_fitting(repo, here, push, push_to, cwd, every)
    if repo is not None:
        yield _repository(repo, broker) | _pushed(push, push_to)
    elif here:
        with _tree(home, keep) as made:
            yield made | _pushed(push, push_to)
    else:
        yield None


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
def _tree(home: Home, keep: bool) -> Iterator[dict[str, Any]]:
    from pathlib import Path

    from relay.api import routes
    from relay.api.client import Client
    from relay.core.errors import Misuse, Refused
    from relay.git.rooms import HERE, room
    from relay.git.snapshot import forget, snapshot, told

    if keep:
        with Client(home) as client:
            client.ask(routes.status())  # where no broker runs nothing is packed for it, and nothing kept
    key = os.urandom(KEY_BYTES).hex()  # not of the operation: what is sent again under it may be another tree by now
    with room(home.folder, HERE) as into:
        made = snapshot(Path.cwd(), Path(home.folder), key, into, keep=keep)
        for each in told(made):
            speech.note(f"note:  {each}")
        tree = {"key": key, "kind": made.kind, "commit": made.commit, "tree": made.tree}
        try:
            yield {"tree": tree, "sub": made.sub} | ({"file": str(made.bundle)} if keep else {})
        except (Misuse, Refused):
            forget(Path.cwd(), key)  # it was certainly not taken
            raise

"""The place that a spawn brings along: a working tree of a repository."""

from __future__ import annotations

import os
from typing import Any

from relay.core.errors import Code, Misuse
from relay.core.sources import is_ref, read_source, split_ref


def place(
    repo: str | None, push: bool, push_to: str | None, cwd: str | None, broker: str | None
) -> dict[str, Any] | None:
    """The place in the request's words; None where none is asked for.

    Args:
        repo: `URL[@REF]`.
        push, push_to: whether what was changed is pushed there, or where else.
        cwd: the folder that was asked for.
        broker: the broker that runs it; None for this machine.

    Raises:
        Misuse: they do not go together, or this repository cannot be fetched.
    """
    if repo is None:
        if push or push_to is not None:
            raise _misuse("there is nothing to push", "only what was changed in a repository is pushed", "repo=URL")
        return None
    if cwd is not None:
        raise _misuse("cwd does not go with repo", "a repository has a folder of its own", "give one of them")
    if push and push_to is not None:
        raise _misuse("push and push_to name two places", "push is to the repository itself", "give one of them")
    pushed = {"push": _checked(push_to)} if push_to is not None else {"push": "origin"} if push else {}
    return _repository(repo, broker) | pushed


def _repository(repo: str, broker: str | None) -> dict[str, Any]:
    url, ref = split_ref(repo)
    if ref is not None and not is_ref(ref):
        why = "behind the @ stands a branch, a tag or a whole commit"
        raise Misuse(f"{ref[:80]!r} names no commit", code=Code.BAD_SOURCE, why=why, hint='repo="URL@main"')
    if broker is None and ":" not in url:  # a path of this machine
        url = os.path.abspath(os.path.expanduser(url))
    return {"repo": _checked(url)} | ({"ref": ref} if ref is not None else {})


def _checked(url: str) -> str:
    read_source(url)
    return url


def _misuse(message: str, why: str, hint: str) -> Misuse:
    return Misuse(message, why=why, hint=hint)

"""Where a spawn works, beyond a directory that is there: a repository that is fetched, or a tree that is sent along.

    --repo URL[@REF]   the target fetches it and works in a fresh worktree of its own
    --here             the origin sends its tree as it is: a bundle of git commits that travels as a blob

What it changed comes back as a bundle of commits on the branch `relay/NAME` (`Change`), told by its end.
"""

from __future__ import annotations

import re
from typing import Any

from relay.core.blobs import HASH_BYTES
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.sources import MAX_URL, is_commit, is_ref, read_source
from relay.core.values import frozen

MAX_BUNDLE = 1 << 30
"""Bytes of a tree that is sent, and of what comes back."""
MAX_FILE = 256 << 20
"""Bytes of one file in it that is not in the repository yet."""
MAX_SUB = 1_024
MAX_DIFFSTAT = 6_000
KEY = "change"
UNBROUGHT = "what it changed was not brought back"
"""How a note of a result begins that says so."""
ORIGIN = "origin"
NOT_YET = "0" * 2 * HASH_BYTES
"""The address of a tree that is asked about, and not sent (a dry run)."""
GIT, FOLDER = "git", "folder"
_KEY_FORM = re.compile(r"[a-z0-9]{8,32}\Z")
_ADDRESS = re.compile(rf"[0-9a-f]{{{2 * HASH_BYTES}}}\Z")


@frozen
class SentTree:
    """A working tree that comes with the request.

    Attributes:
        key: what its origin keeps it by (`refs/relay/KEY` there).
        kind: `git`, or `folder` for a plain one.
        blob: the address of the bundle, in hexadecimal.
        size: bytes of it.
        commit: the one commit that the bundle is for; its tree is the working tree.
        tree: that tree's name.
    """

    key: str
    kind: str
    blob: str
    size: int
    commit: str
    tree: str

    @property
    def address(self) -> bytes:
        """The blob's address."""
        return bytes.fromhex(self.blob)

    @property
    def ref(self) -> str:
        """The name of the commit in the bundle."""
        return f"refs/relay/{self.key}/sent"

    def to_content(self) -> dict[str, Any]:
        """As it is sent and kept."""
        return {name: getattr(self, name) for name in ("key", "kind", "blob", "size", "commit", "tree")}


@frozen
class Workplace:
    """The wish `place`; either `repo` or `tree`.

    Attributes:
        repo: where the repository is fetched from.
        ref: a branch, tag or commit of it; None for what its HEAD names.
        tree: a tree that comes along.
        sub: the folder in it to work in, relative; empty for its top.
        push: where its branch is pushed to in the end: a URL, or `origin` for `repo` itself; None for nowhere.
    """

    repo: str | None = None
    ref: str | None = None
    tree: SentTree | None = None
    sub: str = ""
    push: str | None = None

    @property
    def pushed_to(self) -> str | None:
        """The URL that is pushed to."""
        return self.repo if self.push == ORIGIN else self.push

    @property
    def is_folder(self) -> bool:
        """Whether it is a plain folder, without git in it."""
        return self.tree is not None and self.tree.kind == FOLDER

    def to_content(self) -> dict[str, Any]:
        """As it is sent and kept: what is given."""
        content = {key: value for key in ("repo", "ref", "sub", "push") if (value := getattr(self, key))}
        return content | {"tree": self.tree.to_content()} if self.tree is not None else content


def is_sub(value: object) -> bool:
    """Whether this may name a folder in a tree: relative, printable, without `.`, `..` and `.git`; or empty."""
    if type(value) is not str or len(value) > MAX_SUB or not (value == "" or value.isprintable()):
        return False
    return value == "" or not any(name in ("", ".", "..") or name.lower() == ".git" for name in value.split("/"))


def _is_source(value: object) -> bool:
    if type(value) is not str or len(value) > MAX_URL:
        return False
    try:
        read_source(value)
    except Misuse:
        return False
    return True


def _is_tree(value: object) -> bool:
    if type(value) is not dict or value.keys() != {"key", "kind", "blob", "size", "commit", "tree"}:
        return False
    return (
        type(value["key"]) is str
        and _KEY_FORM.match(value["key"]) is not None
        and value["kind"] in (GIT, FOLDER)
        and type(value["blob"]) is str
        and _ADDRESS.match(value["blob"]) is not None
        and type(value["size"]) is int
        and 0 <= value["size"] <= MAX_BUNDLE
        and is_commit(value["commit"])
        and is_commit(value["tree"])
    )


_CHECKS = {
    "repo": _is_source,
    "ref": is_ref,
    "sub": is_sub,
    "push": lambda value: value == ORIGIN or _is_source(value),
    "tree": _is_tree,
}


def is_place(value: object) -> bool:
    """Whether this is the wish `place` as it is sent: a repository or a tree, and nothing that is not known here."""
    if type(value) is not dict or ("repo" in value) == ("tree" in value):
        return False
    if any(key not in _CHECKS or not _CHECKS[key](each) for key, each in value.items()):
        return False
    return ("ref" not in value or "repo" in value) and (value.get("push") != ORIGIN or "repo" in value)


def place_from_content(value: dict[str, Any]) -> Workplace:
    """The place in what `is_place` found right."""
    tree = value.get("tree")
    return Workplace(
        value.get("repo"),
        value.get("ref"),
        None if tree is None else SentTree(**tree),
        value.get("sub", ""),
        value.get("push"),
    )


def branch_of(name: str) -> str:
    """The branch on which the changes of a spawn of that name come back."""
    plain = re.sub(r"\.{2,}", ".", name).rstrip(".")
    return f"relay/{plain.removesuffix('.lock') or 'spawn'}"


@frozen
class Change:
    """What a spawn changed, as its end tells.

    Attributes:
        blob: the address of the bundle, in hexadecimal.
        size: bytes of it.
        base: the commit it began from.
        tip: the last commit.
        commits: how many there are in between.
    """

    blob: str
    size: int
    base: str
    tip: str
    commits: int

    @property
    def address(self) -> bytes:
        """The blob's address."""
        return bytes.fromhex(self.blob)

    def to_content(self) -> dict[str, Any]:
        """Its form in a result."""
        return {name: getattr(self, name) for name in ("blob", "size", "base", "tip", "commits")}


def change_of(result: dict[str, Any] | None) -> Change | None:
    """The change that a result tells of; None where nothing was changed.

    Raises:
        PeerFault: it has another form.
    """
    told = (result or {}).get(KEY)
    if told is None:
        return None
    fits = (
        type(told) is dict
        and type(told.get("blob")) is str
        and _ADDRESS.match(told["blob"]) is not None
        and type(told.get("size")) is int
        and 0 <= told["size"] <= MAX_BUNDLE
        and is_commit(told.get("base"))
        and is_commit(told.get("tip"))
        and type(told.get("commits")) is int
        and 0 < told["commits"] < 2**31
    )
    if not fits:
        why = "what its word tells of it has another form"
        raise PeerFault("a change was refused", code=Code.BAD_ENVELOPE, why=why)
    return Change(told["blob"], told["size"], told["base"], told["tip"], told["commits"])

"""The JSON of trees, as types."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class Change(TypedDict):
    """What it changed, as a bundle of commits."""

    blob: str
    size: int
    base: str
    tip: str
    commits: int


class Pushed(TypedDict):
    """What became of `--push`."""

    remote: str
    branch: str
    done: bool
    why: str


class WorkPlace(TypedDict):
    """The repository or tree that a spawn works in."""

    kind: Literal["repo", "git", "folder"]
    repo: str | None
    ref: str | None
    sub: str
    push: str | None
    key: str | None
    tree: str | None


class Tree(TypedDict):
    """What a spawn changed: files in the folder that was named, and what is in them."""

    blob: str
    size: int
    base: str
    tip: str
    commits: int
    branch: str
    kind: str
    key: str
    change: str
    sent: str | None
    sent_ref: str | None


class TreeLine(TypedDict, total=False):
    """How far it is; the last line has the tree and the folder, or an error."""

    state: str
    done: int
    size: int
    rate: int
    left_s: float | None
    reason: str
    tree: Tree
    to: str
    error: dict[str, Any]


class CleanedFolder(TypedDict, total=False):
    """One folder."""

    spawn: str | None
    name: str | None
    path: str
    bytes: int
    why: str


class Cleaned(TypedDict):
    """What `relay clean` removed, and what it left."""

    removed: list[CleanedFolder]
    kept: list[CleanedFolder]
    bytes: int

"""The JSON of blobs, as types."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from relay.api.shapes import Named


class BlobNeed(TypedDict):
    """One end of a blob: who offered it here, or to whom it is offered."""

    broker: Named
    name: str
    state: str
    sent: int | None
    until: str | None
    error: dict[str, Any] | None


# written as a call because "from" is a keyword
Blob = TypedDict(
    "Blob",
    {
        "hash": str,
        "name": str,
        "size": int,
        "done": int,
        "state": str,
        "reason": str,
        "created": str | None,
        "from": list[BlobNeed],
        "to": list[BlobNeed],
    },
)


class BlobOrder(TypedDict):
    """A file to send."""

    path: str
    broker: str
    name: NotRequired[str | None]
    ttl_s: NotRequired[float | None]
    wait: NotRequired[bool]


class BlobLine(TypedDict, total=False):
    """How far it is; the last line has the blob, or an error."""

    state: str
    done: int
    size: int
    rate: int
    left_s: float | None
    reason: str
    blob: Blob
    file: str | None
    error: dict[str, Any]


class BlobRemoved(TypedDict):
    """What was removed."""

    blob: Blob
    removed: bool


class FilesLine(BlobLine, total=False):
    """How far the writing of a spawn's files is; the last line has their names and the folder, or an error."""

    files: list[str]
    to: str

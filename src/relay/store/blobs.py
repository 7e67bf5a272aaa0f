"""The blobs on this disk and who needs them. A blob that no reference holds may be collected."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from enum import StrEnum
from typing import Any

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, to_json

LEAST = 8 * 1024  # what a blob counts at least: two files, however short
FOR_EVER = 253_402_300_799_999  # the last of the year 9999
KEEP_ENDED_MS = 7 * 86_400_000  # how long it is told what came of an offer or a download


class Need(StrEnum):
    """Why a blob is needed: offered to a peer, wanted from one, or pinned by a part of this broker."""

    OFFER = "offer"
    DOWNLOAD = "download"
    PIN = "pin"


class NeedState(StrEnum):
    """How it stands with a need."""

    OPEN = "open"
    HERE = "here"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"


@frozen
class Blob:
    """One blob: its address (32 bytes), size in bytes, whether all of it is here; `items` of its walk are synced."""

    hash: bytes
    size: int
    whole: bool
    items: int
    created: int


@frozen
class Reference:
    """One need of a blob.

    Attributes:
        blob: its address.
        need: why.
        peer: an offer's recipient, a download's origin, or the label of who pinned it.
        name: what people call it; a label, never a path.
        size: bytes.
        state: `open` and `here` hold the blob.
        until, created: milliseconds; ended ones are told of until then.
        operation: an offer's envelope is known by it; of a download, for which part of this broker it is.
        error: why it ended so, or None.
    """

    blob: bytes
    need: Need
    peer: BrokerId
    name: str
    size: int
    state: NeedState
    until: int
    created: int
    operation: str = ""
    error: dict[str, Any] | None = None


_blob = mapper(Blob, whole=bool)
_reference = mapper(Reference, need=Need, state=NeedState, error=json.loads)
_BLOBS = f"SELECT {columns(Blob)} FROM blobs"
_REFERENCES = f"SELECT {columns(Reference)} FROM blob_references"

ALL: Query[Blob] = Query(f"{_BLOBS} ORDER BY created, hash", _blob)
BY_HASH: Query[Blob] = Query(f"{_BLOBS} WHERE hash = :hash", _blob)
BYTES: Query[int] = Query(f"SELECT coalesce(sum(max(size, {LEAST})), 0) FROM blobs", first_column)
UNREFERENCED: Query[Blob] = Query(
    f"{_BLOBS} WHERE NOT EXISTS (SELECT 1 FROM blob_references WHERE blob = hash AND holds = 1) LIMIT :limit", _blob
)
REFERENCES: Query[Reference] = Query(f"{_REFERENCES} ORDER BY created DESC, blob, need, peer LIMIT :limit", _reference)
OF_BLOB: Query[Reference] = Query(f"{_REFERENCES} WHERE blob = :hash ORDER BY need, peer", _reference)
ONE: Query[Reference] = Query(f"{_REFERENCES} WHERE blob = :hash AND need = :need AND peer = :peer", _reference)
BY_OPERATION: Query[Reference] = Query(f"{_REFERENCES} WHERE operation = :operation AND need = 'offer'", _reference)
PINNED: Query[Reference] = Query(f"{_REFERENCES} WHERE need = 'pin' AND peer = :label", _reference)
WANTED: Query[Reference] = Query(
    f"{_REFERENCES} WHERE need = 'download' AND state = 'open' ORDER BY created", _reference
)
WANTED_FROM: Query[int] = Query(
    "SELECT count(*) FROM blob_references WHERE need = 'download' AND state = 'open' AND peer = :peer", first_column
)
NAMED: Query[bytes] = Query(
    "SELECT DISTINCT blob FROM blob_references WHERE name = :name AND holds = 1 LIMIT 20", first_column
)
LAST_NAMED: Query[bytes] = Query(
    "SELECT blob FROM blob_references WHERE name = :name ORDER BY created DESC LIMIT 1", first_column
)
BY_PREFIX: Query[bytes] = Query(
    "SELECT hash FROM (SELECT hash FROM blobs UNION SELECT blob FROM blob_references)"
    " WHERE substr(lower(hex(hash)), 1, length(:prefix)) = :prefix LIMIT 20",
    first_column,
)
_KEEP = insertion("blob_references", (item.name for item in dataclasses.fields(Reference))).replace(
    "INSERT", "INSERT OR REPLACE", 1
)


def add(tx: Tx, blob: Blob) -> None:
    """Keep a blob's row; one that is here already only becomes whole, never less."""
    tx.execute(
        "INSERT INTO blobs VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET whole = max(whole, excluded.whole),"
        " items = max(items, excluded.items)",
        (blob.hash, blob.size, int(blob.whole), blob.items, blob.created),
    )


def progress(tx: Tx, blob: bytes, items: int) -> None:
    """The first so many items of its walk are synced."""
    tx.execute("UPDATE blobs SET items = ? WHERE hash = ? AND items < ?", (items, blob, items))


def remove(tx: Tx, blob: bytes) -> bool:
    """Forget a blob, unless something holds it; whether it may be deleted from the disk."""
    sql = (
        "DELETE FROM blobs WHERE hash = ? AND NOT EXISTS"
        " (SELECT 1 FROM blob_references WHERE blob = hash AND holds = 1)"
    )
    tx.execute(sql, (blob,))
    return BY_HASH.one(tx, hash=blob) is None


def refer(tx: Tx, reference: Reference) -> None:
    """Keep a need; it takes the place of an earlier one of the same sort and peer."""
    values = {item.name: getattr(reference, item.name) for item in dataclasses.fields(Reference)}
    values |= {"need": str(reference.need), "state": str(reference.state), "error": to_json(reference.error)}
    tx.execute(_KEEP, values)


def turn(
    tx: Tx, reference: Reference, state: NeedState, until: int, error: dict[str, Any] | None = None
) -> bool:
    """Change how a need stands; False where it is gone, or was ended meanwhile.

    Args:
        reference: which, as it was read.
        state: its new state.
        until: milliseconds.
        error: why.
    """
    sql = (
        "UPDATE blob_references SET state = ?, until = ?, error = ?"
        " WHERE blob = ? AND need = ? AND peer = ? AND holds = 1"
    )
    values = (str(state), until, to_json(error), reference.blob, str(reference.need), reference.peer)
    return tx.execute(sql, values).rowcount > 0


def release(tx: Tx, blob: bytes, need: Need, peer: str) -> bool:
    """Drop a need without a word of what came of it; whether there was one."""
    sql = "DELETE FROM blob_references WHERE blob = ? AND need = ? AND peer = ?"
    return tx.execute(sql, (blob, str(need), peer)).rowcount > 0


def release_all(tx: Tx, blob: bytes) -> list[Reference]:
    """Drop every need of a blob but the pins; what they were."""
    gone = [each for each in OF_BLOB.all(tx, hash=blob) if each.need is not Need.PIN]
    for each in gone:
        release(tx, blob, each.need, each.peer)
    return gone


def pin(tx: Tx, blob: bytes, label: str, name: str, size: int, now: int) -> None:
    """Keep a blob for a part of this broker, until `unpin`.

    Args:
        label: whose pin it is.
        name: what people call it.
        size: bytes.
        now: milliseconds.
    """
    refer(tx, Reference(blob, Need.PIN, BrokerId(label), name, size, NeedState.OPEN, FOR_EVER, now))


def unpin(tx: Tx, label: str, but: Collection[bytes] = ()) -> list[bytes]:
    """Let go of all that is pinned under a label, but these; what was let go."""
    gone = [each.blob for each in PINNED.all(tx, label=label) if each.blob not in but]
    for blob in gone:
        release(tx, blob, Need.PIN, label)
    return gone


class Cargo(StrEnum):
    """What belongs to a spawn: files that it gives back, or the tree it works in with what it changed there."""

    FILES = "collect"
    TREE = "tree"


def label_of(spawn: str, cargo: Cargo = Cargo.FILES) -> str:
    """Under what a spawn's blobs are pinned."""
    return f"spawn:{spawn}" if cargo is Cargo.FILES else f"{cargo}:{spawn}"


def operation_of(spawn: str, cargo: Cargo = Cargo.FILES) -> str:
    """The operation of the offers and downloads of a spawn's blobs."""
    return f"{cargo}/{spawn}"


def spawn_of(operation: str) -> str:
    """The spawn whose blobs are offered or come under this operation; empty for a file of its own."""
    cargo, _, spawn = operation.partition("/")
    return spawn if cargo in Cargo._value2member_map_ else ""


def withdraw(tx: Tx, operation: str) -> None:
    """Drop the offers of an operation without a word."""
    tx.execute("DELETE FROM blob_references WHERE need = 'offer' AND operation = ?", (operation,))


def forget_spawn(tx: Tx, spawn: str) -> None:
    """Let go of the blobs of a spawn that is forgotten."""
    for cargo in Cargo:
        tx.execute("DELETE FROM blob_references WHERE need = 'pin' AND peer = ?", (label_of(spawn, cargo),))
        withdraw(tx, operation_of(spawn, cargo))
        sql = "DELETE FROM blob_references WHERE operation <> '' AND need <> 'offer' AND operation = ?"
        tx.execute(sql, (operation_of(spawn, cargo),))


def expire(tx: Tx, now: int) -> None:
    """End what has had its time, and forget what ended long ago (milliseconds)."""
    tx.execute("DELETE FROM blob_references WHERE holds = 0 AND until <= ?", (now,))
    tx.execute(
        "UPDATE blob_references SET state = 'expired', until = ? WHERE holds = 1 AND need <> 'pin' AND until <= ?",
        (now + KEEP_ENDED_MS, now),
    )

"""What this broker keeps for others: envelopes it can neither read nor change, until their recipients have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from enum import StrEnum

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper


class Kept(StrEnum):
    """What became of an envelope that was to be kept; the words its origin is told, empty where it is kept."""

    YES = ""
    FULL = "it holds no more for you"
    FORGED = "it holds another envelope of that id"


@frozen
class Parcel:
    """An envelope to keep.

    Attributes:
        id: the envelope's, 16 bytes.
        digest: SHA-256 of its bytes.
        envelope: its bytes.
        since: when it was taken to be kept, milliseconds.
        expires: until when it is worth keeping, milliseconds by the clock of who keeps it.
    """

    id: bytes
    origin: BrokerId
    recipient: BrokerId
    kind: str
    digest: bytes
    envelope: bytes
    since: int
    expires: int


@frozen
class Quota:
    """How much may be kept for one origin, and for all of them."""

    envelopes: int
    bytes: int
    total_bytes: int


@frozen
class HeldRow:
    """An envelope on its way to its recipient: `n` is where the next page starts."""

    n: int
    id: bytes
    kind: str
    envelope: bytes


@frozen
class HeldLine:
    """A row as it is listed. `bytes` is the envelope's length, times in milliseconds."""

    id: bytes
    origin: BrokerId
    recipient: BrokerId
    kind: str
    bytes: int
    since: int
    expires: int


# at least one envelope however large, then as many as fit
PAGE: Query[HeldRow] = Query(
    "SELECT n, id, kind, envelope FROM (SELECT *, sum(bytes) OVER (ORDER BY n) AS running FROM"
    " (SELECT n, id, kind, envelope, bytes FROM held"
    " WHERE recipient = :recipient AND n > :after ORDER BY n LIMIT :limit))"
    " WHERE running <= :max_bytes OR running = bytes ORDER BY n",
    mapper(HeldRow),
)
ORIGINS: Query[BrokerId] = Query("SELECT origin FROM held_size WHERE envelopes > 0", first_column)
RECIPIENTS: Query[BrokerId] = Query("SELECT DISTINCT recipient FROM held", first_column)
KEPT_FOR: Query[tuple[BrokerId, int]] = Query(
    "SELECT recipient, count(*) FROM held GROUP BY recipient", lambda row: (row[0], row[1])
)
ALL: Query[HeldLine] = Query(f"SELECT {columns(HeldLine)} FROM held ORDER BY n LIMIT :limit", mapper(HeldLine))
BY_PREFIX: Query[HeldLine] = Query(
    f"SELECT {columns(HeldLine)} FROM held WHERE lower(hex(id)) LIKE :prefix || '%' ORDER BY n LIMIT 1",
    mapper(HeldLine),
)
TOTALS: Query[tuple[int, int]] = Query(
    "SELECT coalesce(sum(envelopes), 0), coalesce(sum(bytes), 0) FROM held_size", lambda row: (row[0], row[1])
)
_DIGEST: Query[bytes] = Query("SELECT digest FROM held WHERE origin = :origin AND id = :id", first_column)
_FIELDS = tuple(item.name for item in dataclasses.fields(Parcel))
_KEEP = insertion("held", (*_FIELDS, "bytes")) + " ON CONFLICT (origin, id) DO NOTHING"
_OF_ORIGIN = "SELECT envelopes, bytes FROM held_size WHERE origin = ?"
_OF_ALL = "SELECT coalesce(sum(bytes), 0) FROM held_size"


def keep(tx: Tx, parcel: Parcel, quota: Quota) -> tuple[Kept, int]:
    """Keep an envelope; what became of it, and its number where it is new (else 0)."""
    known = _DIGEST.one(tx, origin=parcel.origin, id=parcel.id)
    if known is not None:
        return (Kept.YES if known == parcel.digest else Kept.FORGED), 0
    if _is_full(tx, parcel, quota):
        return Kept.FULL, 0
    values = {name: getattr(parcel, name) for name in _FIELDS}
    done = tx.execute(_KEEP, values | {"bytes": len(parcel.envelope)})
    return Kept.YES, int(done.lastrowid or 0)


def _is_full(tx: Tx, parcel: Parcel, quota: Quota) -> bool:
    envelopes, held = tx.execute(_OF_ORIGIN, (parcel.origin,)).fetchone() or (0, 0)
    size = len(parcel.envelope)
    if envelopes >= quota.envelopes or held + size > quota.bytes:
        return True
    return bool(tx.execute(_OF_ALL).fetchone()[0] + size > quota.total_bytes)


def forget(tx: Tx, peer: BrokerId, envelopes: Iterable[bytes]) -> None:
    """Forget what its recipient has, or its origin wants handed over no more.

    Args:
        peer: who said so: rows that are neither from nor for it stay, whatever it says.
        envelopes: ids; unknown ones are ignored.
    """
    sql = "DELETE FROM held WHERE id = ? AND (recipient = ? OR origin = ?)"
    tx.executemany(sql, [(each, peer, peer) for each in envelopes])


def expire(tx: Tx, now: int) -> int:
    """Forget what was worth keeping until then, milliseconds; how many rows."""
    return tx.execute("DELETE FROM held WHERE expires <= ?", (now,)).rowcount


def drop_for(tx: Tx, broker: BrokerId) -> int:
    """Forget everything from or for a broker that was put out; how many rows."""
    return tx.execute("DELETE FROM held WHERE origin = ? OR recipient = ?", (broker, broker)).rowcount

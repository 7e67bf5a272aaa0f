"""What was taken in: envelopes by (origin, id), effects by (origin, operation). The hot path of a receiver.

Replay (design §5): a row is kept past its envelope's expiry plus skew. Purging keeps the highest purged expiry,
the *mark*; a new envelope that expires at or before the mark may be a purged one and is refused.
"""

from __future__ import annotations

from enum import Enum

from relay.core.ids import BrokerId
from relay.store import meta
from relay.store.query import Query, Tx, first_column

MARK = "inbox.purged"
PURGE_STEP = 2_000  # rows a transaction, so that a purge never holds up the batch behind it for long


class Taken(Enum):
    """What an envelope is to us."""

    FRESH = "fresh"  # new; remembered from now on
    AGAIN = "again"  # taken before, byte for byte: receipt it again, do nothing
    FORGED = "forged"  # its id was taken before with other bytes: refuse and alarm
    STALE = "stale"  # it expires at or before what was purged: it cannot be told from a replay; refuse


_DIGEST: Query[bytes] = Query("SELECT digest FROM seen WHERE origin = :origin AND id = :id", first_column)
# one statement for the common case: this runs for each envelope
_TAKE = (
    "INSERT OR IGNORE INTO seen SELECT ?1, ?2, ?3, ?4"
    f" WHERE ?4 > coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = '{MARK}'), -1)"
)
_ANSWER: Query[bytes | None] = Query(
    "SELECT answer FROM effects WHERE origin = :origin AND operation = :operation", first_column
)


def purged_beyond(tx: Tx, expires: int) -> bool:
    """Whether an envelope with this expiry (milliseconds) may have been taken and purged."""
    return expires <= meta.get_number(tx, MARK, -1)


def take(tx: Tx, origin: BrokerId, envelope: bytes, digest: bytes, expires: int) -> Taken:
    """Remember an envelope, or say what is known of it. Only FRESH is remembered.

    Args:
        envelope: its id, 16 bytes.
        digest: SHA-256 of its bytes.
        expires: the header's, milliseconds.
    """
    if tx.execute(_TAKE, (origin, envelope, digest, expires)).rowcount > 0:
        return Taken.FRESH
    known = _DIGEST.one(tx, origin=origin, id=envelope)
    if known is None:
        return Taken.STALE
    return Taken.AGAIN if known == digest else Taken.FORGED


def first_effect(tx: Tx, origin: BrokerId, operation: str, expires: int) -> bool:
    """Whether this operation acts now for the first time; it is remembered from now on.

    Args:
        operation: minted by the client, unique to its origin.
        expires: remembered until then (milliseconds) at least; a repetition only prolongs it.
    """
    values = (origin, operation, expires)
    sql = "INSERT OR IGNORE INTO effects (origin, operation, expires) VALUES (?, ?, ?)"
    if tx.execute(sql, values).rowcount > 0:
        return True
    tx.execute(
        "UPDATE effects SET expires = ? WHERE origin = ? AND operation = ? AND expires < ?",
        (expires, origin, operation, expires),
    )
    return False


def keep_answer(tx: Tx, origin: BrokerId, operation: str, answer: bytes) -> None:
    """Keep a small answer with an operation's effect, for its repetitions."""
    tx.execute("UPDATE effects SET answer = ? WHERE origin = ? AND operation = ?", (answer, origin, operation))


def operation_answer(tx: Tx, origin: BrokerId, operation: str) -> bytes | None:
    """What `keep_answer` kept, or None."""
    return _ANSWER.one(tx, origin=origin, operation=operation)


def purge(tx: Tx, before: int, limit: int = PURGE_STEP) -> int:
    """Forget the oldest rows that expired before a moment, and raise the mark; how many rows. Repeat until 0.

    Args:
        before: milliseconds: now less the skew that is allowed for.
        limit: most envelopes and most effects to forget in this transaction.
    """
    oldest = "SELECT expires FROM {} WHERE expires < ? ORDER BY expires LIMIT ?"
    highest = tx.execute(f"SELECT max(expires) FROM ({oldest.format('seen')})", (before, limit)).fetchone()[0]
    if highest is not None:
        meta.raise_number(tx, MARK, highest)
    return _forget(tx, "seen", "origin, id", before, limit) + _forget(tx, "effects", "origin, operation", before, limit)


def _forget(tx: Tx, table: str, key: str, before: int, limit: int) -> int:
    sql = (
        f"DELETE FROM {table} WHERE ({key}) IN"
        f" (SELECT {key} FROM {table} WHERE expires < ? ORDER BY expires LIMIT ?)"
    )
    return tx.execute(sql, (before, limit)).rowcount

"""What was taken in: envelopes by (origin, id), effects by (origin, operation). The hot path of a receiver.

Replay (design §5): a row is kept past its envelope's expiry plus skew. Purging keeps the highest purged expiry,
the *mark*, and each origin's highest purged id. A new envelope that expires at or before the mark, and has no later id
than what was purged of its origin, may be a purged one. Ids begin with the time they were made: whatever clock an early
purge went by, what is asked for after it is told from what it forgot. A store that was an older copy of itself has
lost rows without a purge: `doubt` sets the same marks for all that was made until then.
"""

from __future__ import annotations

from enum import Enum

from relay.core.ids import BrokerId
from relay.store import meta
from relay.store.query import Query, Tx, first_column

MARK = "inbox.purged"
FLOOR = "inbox.purged.floor"
_HIGHEST = "inbox.purged.of/"
_ABOVE_ALL = b"\xff" * 16
_DAY_MS = 86_400_000
PURGE_STEP = 2_000  # rows a transaction, so that a purge never holds up the batch behind it for long


class Taken(Enum):
    """What an envelope is to us."""

    FRESH = "fresh"  # new; remembered from now on
    AGAIN = "again"  # taken before, byte for byte: receipt it again, do nothing
    FORGED = "forged"  # its id was taken before with other bytes: refuse and alarm
    STALE = "stale"  # it cannot be told from what was purged: it must not act


DIGEST: Query[bytes] = Query("SELECT digest FROM seen WHERE origin = :origin AND id = :id", first_column)
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
    known = DIGEST.one(tx, origin=origin, id=envelope)
    if known is not None:
        return Taken.AGAIN if known == digest else Taken.FORGED
    if envelope <= _highest_purged(tx, origin):
        return Taken.STALE
    tx.execute("INSERT INTO seen VALUES (?, ?, ?, ?)", (origin, envelope, digest, expires))
    return Taken.FRESH


def _highest_purged(tx: Tx, origin: BrokerId) -> bytes:
    floor = meta.get(tx, FLOOR)
    if floor is None:
        return _ABOVE_ALL  # what was purged so far was purged without a note of its ids
    return max(bytes.fromhex(floor), bytes.fromhex(meta.get(tx, _HIGHEST + origin) or ""))


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
    """Forget the oldest rows that expired before a moment, and raise the marks; how many rows. Repeat until 0.

    Args:
        before: milliseconds: now less the skew that is allowed for.
        limit: most envelopes and most effects to forget in this transaction.
    """
    _begin_notes(tx, before)
    oldest = "SELECT origin, id, expires FROM seen WHERE expires < ? ORDER BY expires LIMIT ?"
    marks = f"SELECT origin, max(id), max(expires) FROM ({oldest}) GROUP BY origin"
    for origin, last, expires in tx.execute(marks, (before, limit)).fetchall():
        meta.raise_number(tx, MARK, expires)
        key = _HIGHEST + origin
        meta.put(tx, key, max(meta.get(tx, key) or "", last.hex()))
    return _forget(tx, "seen", "origin, id", before, limit) + _forget(tx, "effects", "origin, operation", before, limit)


def doubt(tx: Tx, until: int, longest: int) -> None:
    """Count what was made up to a moment as what may have been taken in, where no row says that it was.

    Args:
        until: milliseconds; ids begin with the time they were made.
        longest: how long an envelope may live at most, milliseconds.
    """
    _begin_notes(tx, until)
    floor = until.to_bytes(6, "big") + _ABOVE_ALL[6:]
    meta.put(tx, FLOOR, max(meta.get(tx, FLOOR) or "", floor.hex()))
    meta.raise_number(tx, MARK, until + longest)


def _begin_notes(tx: Tx, before: int) -> None:
    if meta.get(tx, FLOOR) is not None:
        return
    # a store that has purged before without a note of ids: all that was made until now may be among it
    noted = meta.get(tx, MARK) is None
    floor = b"" if noted else (max(before, 0) + _DAY_MS).to_bytes(6, "big") + _ABOVE_ALL[6:]
    meta.put(tx, FLOOR, floor.hex())


def _forget(tx: Tx, table: str, key: str, before: int, limit: int) -> int:
    sql = (
        f"DELETE FROM {table} WHERE ({key}) IN"
        f" (SELECT {key} FROM {table} WHERE expires < ? ORDER BY expires LIMIT ?)"
    )
    return tx.execute(sql, (before, limit)).rowcount

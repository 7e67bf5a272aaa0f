"""The target's signed words on spawns, and cancels that came first."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.ids import BrokerId
from relay.core.phases import Said
from relay.core.states import State
from relay.store.query import Query, Tx, columns, first_column, mapper


@dataclass(frozen=True, slots=True)
class SignedWord:
    """A snapshot as it was signed: it may be sealed again for another viewer and still be verified.

    Attributes:
        state, at: from inside, for looking at without decoding.
        signature: 64 bytes over `bytes`.
        bytes: what `Snapshot.to_bytes` made.
    """

    spawn: str
    attempt: int
    seq: int
    state: State
    at: int
    signature: bytes
    bytes: bytes


_row = mapper(SignedWord, state=State)
_SELECT = f"SELECT {columns(SignedWord)} FROM snapshots"

WORDS: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY attempt, seq", _row)
SAID: Query[Said] = Query(
    "SELECT attempt, seq, state, at FROM snapshots WHERE spawn = :spawn ORDER BY attempt, seq",
    mapper(Said, state=State),
)
LATEST: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY attempt DESC, seq DESC LIMIT 1", _row)
EXACTLY: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn AND attempt = :attempt AND seq = :seq", _row)
_TOMBSTONE: Query[int] = Query("SELECT 1 FROM tombstones WHERE origin = :origin AND spawn = :spawn", first_column)


def keep(tx: Tx, word: SignedWord) -> bool:
    """Keep a signed word; False where one of its order is here already."""
    values = (word.spawn, word.attempt, word.seq, str(word.state), word.at, word.signature, word.bytes)
    return tx.execute("INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)", values).rowcount > 0


def keep_newest(tx: Tx, spawn: str, count: int) -> None:
    """Delete the words on a spawn beyond the newest so many."""
    sql = "SELECT attempt, seq FROM snapshots WHERE spawn = ? ORDER BY attempt DESC, seq DESC LIMIT 1 OFFSET ?"
    found = tx.execute(sql, (spawn, count)).fetchone()
    if found is not None:
        tx.execute("DELETE FROM snapshots WHERE spawn = ? AND (attempt, seq) <= (?, ?)", (spawn, *found))


def forget_older(tx: Tx, spawn: str) -> int:
    """Delete all but the latest word on a spawn; how many."""
    sql = (
        "DELETE FROM snapshots WHERE spawn = :spawn AND (attempt, seq) <"
        " (SELECT attempt, seq FROM snapshots WHERE spawn = :spawn ORDER BY attempt DESC, seq DESC LIMIT 1)"
    )
    return tx.execute(sql, {"spawn": spawn}).rowcount


def bury(tx: Tx, origin: BrokerId, spawn: str, expires: int) -> None:
    """Remember a cancel that came before its spawn.

    Args:
        origin: whose spawn; only its own spawn will be stopped by this.
        expires: until when (milliseconds) the spawn may still come.
    """
    sql = (
        "INSERT INTO tombstones VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET expires = max(expires, excluded.expires)"
    )
    tx.execute(sql, (origin, spawn, expires))


def is_buried(tx: Tx, origin: BrokerId, spawn: str) -> bool:
    """Whether a cancel came before this spawn."""
    return _TOMBSTONE.one(tx, origin=origin, spawn=spawn) is not None


def purge_tombstones(tx: Tx, before: int) -> int:
    """Forget tombstones that expired before a moment (milliseconds), with the words on what never came; how many."""
    sql = (
        "DELETE FROM snapshots WHERE spawn IN (SELECT spawn FROM tombstones WHERE expires < ?)"
        " AND spawn NOT IN (SELECT id FROM spawns)"
    )
    tx.execute(sql, (before,))
    return tx.execute("DELETE FROM tombstones WHERE expires < ?", (before,)).rowcount

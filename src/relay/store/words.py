"""The target's signed words on spawns, and cancels that came first."""

from __future__ import annotations

import json
from typing import Any

from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.phases import Said
from relay.core.spawning import snapshot_from_bytes
from relay.core.states import State
from relay.core.values import frozen
from relay.store.query import Query, Row, Tx, columns, first_column, mapper

MOST_FOLDED = 64
MOST_TOMBSTONES = 10_000  # of one origin
FOLDED_REASON = 200  # letters of a reason that outlive their word


@frozen
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


@frozen
class Step:
    """What is told of a spawn's course: one state, and who said so.

    Attributes:
        attempt, seq: the order of the word; (0, 0) for what this broker did before the first.
        at: when, milliseconds, on the clock of who said it.
        by: whose word it is.
    """

    attempt: int
    seq: int
    state: State
    at: int
    reason: str
    by: BrokerId

    @property
    def order(self) -> tuple[int, int]:
        """What the words of one broker are compared by."""
        return (self.attempt, self.seq)


Folded = tuple[int, int, State, int, str]


def _folded(row: Row) -> list[Folded]:
    return [(attempt, seq, State(state), at, reason) for attempt, seq, state, at, reason in json.loads(row[0])]


_row = mapper(SignedWord, state=State)
_SELECT = f"SELECT {columns(SignedWord)} FROM snapshots"

WORDS: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY attempt, seq", _row)
SAID: Query[Said] = Query(
    "SELECT attempt, seq, state, at FROM snapshots WHERE spawn = :spawn ORDER BY attempt, seq",
    mapper(Said, state=State),
)
LATEST: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY attempt DESC, seq DESC LIMIT 1", _row)
NEWEST: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY attempt DESC, seq DESC LIMIT :limit", _row)
# what earlier words said (attempt, seq, state, at, reason), oldest first, when they themselves are forgotten
FOLDED: Query[list[Folded]] = Query("SELECT steps FROM timelines WHERE spawn = :spawn", _folded)
EXACTLY: Query[SignedWord] = Query(f"{_SELECT} WHERE spawn = :spawn AND attempt = :attempt AND seq = :seq", _row)
_TOMBSTONES: Query[int] = Query("SELECT count(*) FROM tombstones WHERE origin = :origin", first_column)
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
    """Delete all but the latest word on a spawn; how many. Of what they said the newest 64 steps are kept."""
    older = WORDS.all(tx, spawn=spawn)[:-1]
    if not older:
        return 0
    steps: list[Any] = [*(FOLDED.one(tx, spawn=spawn) or []), *map(_fold, older)]
    text = json.dumps(steps[-MOST_FOLDED:], separators=(",", ":"))
    tx.execute("INSERT OR REPLACE INTO timelines VALUES (?, ?)", (spawn, text))
    sql = "DELETE FROM snapshots WHERE spawn = ? AND (attempt, seq) <= (?, ?)"
    return tx.execute(sql, (spawn, older[-1].attempt, older[-1].seq)).rowcount


def reason_of(word: SignedWord) -> str:
    """Why it says so; empty where this program cannot read the word."""
    try:
        return snapshot_from_bytes(word.bytes).reason
    except PeerFault:
        return ""


def _fold(word: SignedWord) -> Folded:
    return (word.attempt, word.seq, word.state, word.at, reason_of(word)[:FOLDED_REASON])


def bury(tx: Tx, origin: BrokerId, spawn: str, expires: int) -> bool:
    """Remember a cancel that came before its spawn; False where its origin has too many.

    Args:
        origin: whose spawn; only its own spawn will be stopped by this.
        expires: until when (milliseconds) the spawn may still come.
    """
    if (_TOMBSTONES.one(tx, origin=origin) or 0) >= MOST_TOMBSTONES and not is_buried(tx, origin, spawn):
        return False
    sql = "INSERT INTO tombstones VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET expires = max(expires, excluded.expires)"
    tx.execute(sql, (origin, spawn, expires))
    return True


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

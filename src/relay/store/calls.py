"""What happens to calls: accepted, moved on by their target's word, ended here while nobody had them."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import Any

from relay.core.calls import CallRequest, Piece, Word
from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, State
from relay.store.call_rows import BY_ID, PIECES, CallRow
from relay.store.query import Tx, insertion, to_json

PURGE_STEP = 500
LONG = 16 * 1024
_UNTOLD = (
    "NOT EXISTS (SELECT 1 FROM outbox WHERE recipient = calls.origin AND kind = 'tool.result'"
    " AND operation >= 'called/' || calls.id || '/' AND operation < 'called/' || calls.id || '/~')"
)
_ASKED = tuple(item.name for item in dataclasses.fields(CallRequest))
_INSERT = insertion(
    "calls",
    (*_ASKED, "origin", "target", "parent", "links", "state", "seq", "reason", "since", "pieces", "learnt", "live"),
)


def insert(
    tx: Tx,
    request: CallRequest,
    *,
    origin: BrokerId,
    target: BrokerId,
    state: State,
    now: int,
    parent: str | None = None,
    links: bytes | None = None,
) -> CallRow:
    """Keep a new call.

    Args:
        request: what is asked for.
        origin: whose request it is; `target`: who is to run it.
        state: `queued` at an origin whose target is elsewhere, else `delivered`.
        now: milliseconds.
        parent: the spawn here that caused it.
        links: what proves its chain.

    Raises:
        Misuse: `conflict`: the id exists.
    """
    values: dict[str, Any] = {name: getattr(request, name) for name in _ASKED}
    values |= {"chain": to_json(list(request.chain)), "origin": origin, "target": target, "parent": parent}
    values |= {"links": links, "state": str(state), "seq": 0, "reason": "", "since": now, "learnt": now}
    try:
        tx.execute(_INSERT, values | {"pieces": 0, "live": 1})
    except sqlite3.IntegrityError:
        raise Misuse(f"a call {request.id} exists already", code=Code.CONFLICT, hint="relay tools calls") from None
    return require(tx, request.id)


def require(tx: Tx, call: str) -> CallRow:
    """The row of a call that exists.

    Raises:
        Misuse: `unknown_call`.
    """
    found = BY_ID.one(tx, id=call)
    if found is None:
        raise unknown(call)
    return found


def unknown(call: str) -> Misuse:
    """The error for a call that is not known here."""
    return Misuse(f"there is no call {call[:80]!r}", code=Code.UNKNOWN_CALL, hint="relay tools calls")


_APPLY = """
UPDATE calls SET state = :state, seq = :seq, reason = :reason, since = :since, at = :at, started = :started,
    ended = :ended, outcome = :outcome, result = :result, pieces = :pieces, error = :error, live = :live,
    first_word = coalesce(first_word, :now), learnt = :now
WHERE id = :call AND seq < :seq
"""


def apply(tx: Tx, word: Word, now: int) -> bool:
    """Take the target's word on a call; False where it is not later than what is known.

    In whatever order the words arrive, the row ends as the highest seq says.

    Args:
        word: of the call's target.
        now: milliseconds, by this machine's clock.
    """
    values = {item.name: getattr(word, item.name) for item in dataclasses.fields(word)}
    values |= {"state": str(word.state), "outcome": None if word.outcome is None else str(word.outcome), "now": now}
    values |= {"error": to_json(word.error), "live": int(word.state not in TERMINAL)}
    return tx.execute(_APPLY, values).rowcount > 0


def claim(tx: Tx, call: str, program: str | None, now: int | None) -> None:
    """Write down for which program a call starts, and when (milliseconds); None where it was fenced."""
    tx.execute("UPDATE calls SET program = ?, claimed = ? WHERE id = ?", (program, now, call))


def put_off(tx: Tx, own: BrokerId, before: int, by: int) -> None:
    """Give the calls that their programs have since a moment, or longer, so much more time; both in milliseconds."""
    sql = (
        "UPDATE calls SET claimed = claimed + ? WHERE target = ? AND live = 1 AND state IN ('starting', 'running')"
        " AND claimed <= ?"
    )
    tx.execute(sql, (by, own, before))


def begun_by(tx: Tx, own: BrokerId, now: int) -> None:
    """Have no call begin later than now (milliseconds): it was given to its program by a clock that was ahead."""
    sql = "UPDATE calls SET claimed = ? WHERE target = ? AND live = 1 AND state IN ('starting', 'running')"
    tx.execute(f"{sql} AND claimed > ?", (now, own, now))


def delivered(tx: Tx, call: str, now: int) -> bool:
    """Take the target's receipt of a call's envelope (`now` in milliseconds); whether the row changed."""
    sql = (
        "UPDATE calls SET first_word = coalesce(first_word, :now), state = 'delivered', reason = '', since = :now"
        " WHERE id = :call AND state = 'queued' AND seq = 0"
    )
    return tx.execute(sql, {"call": call, "now": now}).rowcount > 0


def explain(tx: Tx, call: str, reason: str) -> None:
    """Reword why a live call stands where it does, without a word of its target."""
    tx.execute("UPDATE calls SET reason = ? WHERE id = ? AND live = 1", (reason, call))


def end_untaken(
    tx: Tx, call: str, state: State, reason: str, now: int, error: dict[str, Any] | None = None
) -> bool:
    """End a call at its origin, while neither receipt nor word of the target has arrived; False where one has.

    A word that arrives all the same replaces this end.

    Args:
        state: `cancelled`, `expired` or `rejected`.
        reason: why, in words.
        now: milliseconds.
        error: `{"code", "message", "why", "hint"}` or None.
    """
    sql = (
        "UPDATE calls SET state = ?, reason = ?, since = ?, learnt = ?, ended = ?, error = ?, live = 0"
        " WHERE id = ? AND state = 'queued' AND first_word IS NULL"
    )
    return tx.execute(sql, (str(state), reason, now, now, now, to_json(error), call)).rowcount > 0


def request_stop(tx: Tx, call: str, now: int) -> bool:
    """Remember that a live call is to stop (`now` in milliseconds); whether this is the first time."""
    sql = "UPDATE calls SET stop_requested = ? WHERE id = ? AND live = 1 AND stop_requested IS NULL"
    return tx.execute(sql, (now, call)).rowcount > 0


def clear_stop(tx: Tx, call: str) -> None:
    """Forget a stop that was taken back before it left."""
    tx.execute("UPDATE calls SET stop_requested = NULL WHERE id = ?", (call,))


# results that come in pieces


def keep_piece(tx: Tx, piece: Piece) -> None:
    """Keep a part of a result until the others are here; of one word at a time, the latest."""
    if tx.execute("SELECT 1 FROM call_pieces WHERE call = ? AND seq > ?", (piece.call, piece.seq)).fetchone():
        return
    tx.execute("DELETE FROM call_pieces WHERE call = ? AND seq < ?", (piece.call, piece.seq))
    values = (piece.call, piece.seq, piece.n, piece.data)
    tx.execute("INSERT OR IGNORE INTO call_pieces VALUES (?, ?, ?, ?)", values)


def keep_word(tx: Tx, call: str, seq: int, word: bytes) -> None:
    """Keep the word that a result in pieces belongs to until they are here."""
    sql = (
        "INSERT INTO call_words VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq, word = excluded.word"
        " WHERE seq < excluded.seq"
    )
    tx.execute(sql, (call, seq, word))


def whole(tx: Tx, call: str, seq: int, pieces: int) -> bytes | None:
    """The result, once all its pieces are here."""
    found = PIECES.all(tx, call=call, seq=seq)
    return b"".join(found) if len(found) == pieces else None


def drop_pieces(tx: Tx, call: str) -> None:
    """Forget the pieces, and the word that waited for them."""
    for table in ("call_pieces", "call_words"):
        tx.execute(f"DELETE FROM {table} WHERE call = ?", (call,))


def drop_arguments(tx: Tx, call: str) -> None:
    """Forget what a call that never runs was to say to its runner."""
    tx.execute("UPDATE calls SET arguments = x'7b7d' WHERE id = ?", (call,))


# forgetting


def lighten(tx: Tx, own: BrokerId, before: int, limit: int = PURGE_STEP) -> int:
    """Forget the long arguments and results of what ran here for others, ended before a moment, and is told; how many.

    Args:
        own: this broker.
        before: milliseconds.
        limit: most calls for this transaction.
    """
    sql = (
        "UPDATE calls SET arguments = x'7b7d', result = NULL WHERE n IN (SELECT n FROM calls WHERE live = 0"
        " AND learnt < ? AND target = ? AND origin <> target AND length(arguments) + coalesce(length(result), 0) > ?"
        f" AND {_UNTOLD} LIMIT ?)"
    )
    return tx.execute(sql, (before, own, LONG, limit)).rowcount


def purge(tx: Tx, before: int, limit: int = PURGE_STEP) -> int:
    """Forget calls whose end was learnt before a moment (milliseconds), unless a word of theirs waits; how many."""
    sql = f"SELECT id FROM calls WHERE live = 0 AND learnt < ? AND {_UNTOLD} ORDER BY learnt LIMIT ?"
    gone = [str(call) for (call,) in tx.execute(sql, (before, limit))]
    for call in gone:
        drop_pieces(tx, call)
    tx.executemany("DELETE FROM calls WHERE id = ?", [(call,) for call in gone])
    return len(gone)

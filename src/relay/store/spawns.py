"""What happens to spawns: accepted, told by the target, ended here while nobody had them, asked to stop."""

from __future__ import annotations

import dataclasses
import operator
import sqlite3
from collections.abc import Sequence
from typing import Any

from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot, SpawnRequest
from relay.core.states import NOT_STARTED, TERMINAL, State
from relay.store import blobs
from relay.store.query import Query, Tx, first_column, insertion, to_json, values_of
from relay.store.spawn_rows import BY_ID, LIVE_NAMED, SpawnRow, stands

PURGE_STEP = 500  # spawns a transaction
_OF_ITS_RUN = ("attempts", "snapshots", "tails", "durations", "timelines", "questions", "inputs")
_BESIDE = (
    *(*_OF_ITS_RUN, "predecessors", "tries", "steers", "steer_orders"),
    *("provenance", "notify_asked", "notify_vouchers"),
)

_ASKED = tuple(item.name for item in dataclasses.fields(SpawnRequest))
_TOLD = tuple(item.name for item in dataclasses.fields(Snapshot))
_ROW_FIELDS = tuple(item.name for item in dataclasses.fields(SpawnRow))
_SAID = tuple(name for name in _TOLD if name in _ROW_FIELDS and name != "cwd")  # there it is as asked
_of_row, _said = operator.attrgetter(*_ROW_FIELDS), operator.attrgetter(*_SAID)
_asked, _told = values_of(SpawnRequest), values_of(Snapshot)
_UNTOLD: dict[str, Any] = dict.fromkeys(_ROW_FIELDS) | {"attempt": 0, "seq": 0}
_QUEUEING = ("priority", "not_before")  # of the wishes: what waiting spawns are ordered and woken by
_INSERT = insertion(
    "spawns", (*_ASKED, *_QUEUEING, "origin", "target", "operation", "state", "since", "learnt", "reason", "schedule")
)


def insert(
    tx: Tx,
    request: SpawnRequest,
    *,
    origin: BrokerId,
    target: BrokerId,
    operation: str,
    state: State,
    since: int,
    reason: str = "",
    may_share_name: bool = False,
    schedule: str | None = None,
) -> SpawnRow:
    """Keep a new spawn; the name is checked in this same transaction, so that two never hold it.

    Args:
        request: what is asked for.
        origin: whose request it is; `target`: who is to run it.
        operation: the client's operation id.
        state: `queued` at an origin whose target is elsewhere, `delivered` or later at the target.
        since: milliseconds.
        reason: why it stands there.
        may_share_name: for one that is refused in the same transaction.
        schedule: the schedule it is a run of.

    Raises:
        Misuse: `name_in_use`: a live spawn of this name is on that target; `conflict`: the id exists.
    """
    if not may_share_name:
        require_free_name(tx, request.name, target, origin if state is State.QUEUED else target)
    asked: dict[str, Any] = {"origin": origin, "target": target, "operation": operation, "since": since}
    asked |= {"reason": reason, "schedule": schedule}
    asked |= {name: getattr(request.wishes, name) for name in _QUEUEING}
    try:
        tx.execute(_INSERT, asked_values(request) | asked | {"state": str(state), "learnt": since})
    except sqlite3.IntegrityError:
        hint = f"relay show {request.id}"
        raise Misuse(f"a spawn {request.id} exists already", code=Code.CONFLICT, hint=hint) from None
    # the row that was just written, without reading it back
    return drafted(request, state=state, **asked)


def drafted(request: SpawnRequest, **values: Any) -> SpawnRow:
    """The row of a request that nobody has said a word of; nothing is kept.

    Args:
        request: what is asked for.
        values: its other columns.
    """
    queueing = {name: getattr(request.wishes, name) for name in _QUEUEING}
    return SpawnRow(**_UNTOLD | _asked(request) | queueing | values)


def require_free_name(tx: Tx, name: str, target: BrokerId, own: BrokerId) -> None:
    """Refuse a name that a live spawn on a broker has; for a retry, which brings an old row back to life.

    Args:
        tx: the transaction.
        name: which.
        target: on which broker.
        own: this broker, for the words.

    Raises:
        Misuse: `name_in_use`.
    """
    other = LIVE_NAMED.one(tx, name=name, target=target)
    if other is None:
        return
    raise Misuse(
        f"the name {name!r} is in use",
        code=Code.NAME_IN_USE,
        why=f"spawn {other.id} has it; {stands(other, own)}",
        hint=f"choose another name, or: relay stop {other.id}",
    )


def asked_values(request: SpawnRequest) -> dict[str, Any]:
    """A request's columns, as they are stored."""
    values = _asked(request)
    values["wishes"] = to_json(request.wishes.to_content())
    return values | {key: to_json(values[key]) for key in ("argv", "labels", "chain")}


def require(tx: Tx, spawn: str) -> SpawnRow:
    """The row of a spawn that exists.

    Raises:
        Misuse: `unknown_spawn`.
    """
    found = BY_ID.one(tx, id=spawn)
    if found is None:
        raise Misuse(f"there is no spawn {spawn}", code=Code.UNKNOWN_SPAWN, hint="relay ps --all")
    return found


# what a person said was of the end before: it goes on, or has ended anew; and what began, or has ended, is paused no
# more. A stop was of the attempt that has ended: who stops another one, which somebody else asked for, is heard anew
_APPLY = """
UPDATE spawns SET state = :state, reason = :reason, since = :since, attempt = :attempt, seq = :seq, at = :at,
    ran_in = coalesce(:cwd, ran_in), started = :started, ended = :ended, exit_code = :exit_code, signal = :signal,
    needs = :needs, error = :error, result = :result, first_word = coalesce(first_word, :now), learnt = :now,
    resolved = NULL, paused = iif(:waits, paused, NULL), paused_by = iif(:waits, paused_by, NULL),
    stop_requested = iif(live = 0 AND NOT :terminal, NULL, stop_requested)
WHERE id = :spawn AND target = :target AND (attempt, seq) < (:attempt, :seq)
"""


def apply_snapshot(tx: Tx, snapshot: Snapshot, now: int) -> bool:
    """Take the target's word on a spawn; False where it is not later than what is known, or not the target's.

    In whatever order the words arrive, the row ends as the highest (attempt, seq) says. A terminal state is left
    only by a later word of the target, never by one of ours.

    Args:
        snapshot: verified: its signature is by `snapshot.target`.
        now: milliseconds, by this machine's clock: when the word came.
    """
    values = _told(snapshot)
    values |= {key: to_json(values[key]) for key in ("needs", "error", "result")}
    values |= {"state": str(snapshot.state), "now": now, "waits": snapshot.state in NOT_STARTED}
    values["terminal"] = snapshot.state in TERMINAL
    return tx.execute(_APPLY, values).rowcount > 0


def after_word(row: SpawnRow, snapshot: Snapshot, now: int) -> SpawnRow:
    """The row as `apply_snapshot` left it, without reading it back.

    Args:
        row: as it was before.
        snapshot: the word that was applied.
        now: as for `apply_snapshot`.
    """
    values = dict(zip(_ROW_FIELDS, _of_row(row), strict=True))
    values |= zip(_SAID, _said(snapshot), strict=True)
    ran_in, first_word = snapshot.cwd or row.ran_in, row.first_word or now
    unmarked = {} if snapshot.state in NOT_STARTED else {"paused": None, "paused_by": None}
    if row.state in TERMINAL and snapshot.state not in TERMINAL:
        unmarked["stop_requested"] = None
    return SpawnRow(**values | {"ran_in": ran_in, "first_word": first_word, "resolved": None} | unmarked)


def delivered(tx: Tx, spawn: str, now: int) -> bool:
    """Take the target's receipt of a spawn's envelope; whether the row changed.

    Args:
        now: milliseconds.
    """
    sql = (
        "UPDATE spawns SET first_word = coalesce(first_word, :now), state = 'delivered', reason = '', since = :now"
        " WHERE id = :spawn AND state = 'queued' AND seq = 0"
    )
    return tx.execute(sql, {"spawn": spawn, "now": now}).rowcount > 0


def explain(tx: Tx, spawn: str, reason: str) -> bool:
    """Reword why a live spawn stands where it does, without a word of the target; whether it is live."""
    return tx.execute("UPDATE spawns SET reason = ? WHERE id = ? AND live = 1", (reason, spawn)).rowcount > 0


def end_untaken(
    tx: Tx, spawn: str, state: State, reason: str, now: int, error: dict[str, Any] | None = None
) -> bool:
    """End a spawn at its origin, while neither receipt nor word of the target has arrived; False where one has.

    A word that arrives all the same replaces this end.

    Args:
        state: `cancelled`, `expired` or `rejected`.
        reason: why, in words.
        now: milliseconds.
        error: `{"code", "message", "why", "hint"}` or None.
    """
    sql = (
        "UPDATE spawns SET state = ?, reason = ?, since = ?, learnt = ?, ended = ?, error = ?, paused = NULL,"
        " paused_by = NULL"
        " WHERE id = ? AND state = 'queued' AND first_word IS NULL"
    )
    return tx.execute(sql, (str(state), reason, now, now, now, to_json(error), spawn)).rowcount > 0


def request_stop(tx: Tx, spawn: str, now: int) -> bool:
    """Remember that a live spawn is to stop; whether this is the first time.

    Args:
        now: milliseconds.
    """
    sql = "UPDATE spawns SET stop_requested = ? WHERE id = ? AND live = 1 AND stop_requested IS NULL"
    return tx.execute(sql, (now, spawn)).rowcount > 0


def resolve(tx: Tx, spawn: str, word: dict[str, Any] | None) -> None:
    """Keep what a person said of a spawn's end, beside its state; None takes it back."""
    tx.execute("UPDATE spawns SET resolved = ? WHERE id = ?", (to_json(word), spawn))


def clear_stop(tx: Tx, spawn: str) -> None:
    """Forget a stop that a new attempt is not bound by (`relay retry`)."""
    tx.execute("UPDATE spawns SET stop_requested = NULL WHERE id = ?", (spawn,))


def known_ended_before(tx: Tx, before: int, limit: int = PURGE_STEP) -> list[str]:
    """The spawns known to have ended before a moment, of which nothing waits for others any more, oldest first.

    It counts when this machine learnt of the end, by its own clock: a result that comes late is kept as long as one
    that comes at once. What waits is in the outbox, or a file that their origin has not pulled yet.

    Args:
        before: milliseconds.
        limit: most spawns for this transaction.
    """
    sql = (
        "SELECT id FROM spawns WHERE live = 0 AND learnt < ?"
        " AND id NOT IN (SELECT spawn FROM outbox WHERE spawn IS NOT NULL)"
        " AND NOT EXISTS (SELECT 1 FROM blob_references WHERE need = 'offer' AND operation = 'collect/' || spawns.id"
        " AND holds = 1) ORDER BY learnt LIMIT ?"
    )
    return [str(spawn) for (spawn,) in tx.execute(sql, (before, limit))]


def known_ended_between(tx: Tx, after: int, until: int, limit: int = PURGE_STEP) -> list[tuple[str, int]]:
    """The spawns whose end was learnt after one moment and up to another (milliseconds), with when, oldest first.

    Those of one moment are never parted, so that who goes on after the last one misses none: may be more than `limit`.
    """
    chosen = "FROM spawns WHERE live = 0 AND learnt > :after AND learnt <= :until"
    last = f"SELECT learnt {chosen} ORDER BY learnt LIMIT 1 OFFSET :limit - 1"
    sql = f"SELECT id, learnt {chosen} AND learnt <= coalesce(({last}), :until) ORDER BY learnt"
    found = tx.execute(sql, {"after": after, "until": until, "limit": limit})
    return [(str(spawn), int(learnt)) for spawn, learnt in found]


def refused_beyond(tx: Tx, origin: BrokerId, target: BrokerId, kept: int) -> list[str]:
    """The spawns of one origin that ended with the first word on them, but for the latest so many, newest first.

    At most `PURGE_STEP`: of an earlier version there may be a million. Not those whose word waits in the outbox: it
    is sealed again from what is kept here. One that its origin has refused is a dead letter, and waits no more.
    """
    return _REFUSED.all(tx, origin=origin, target=target, kept=kept, step=PURGE_STEP)


_REFUSED: Query[str] = Query(
    "SELECT id FROM spawns WHERE origin = :origin AND target = :target AND seq = 1 AND attempt = 0"
    " AND state IN ('rejected', 'expired', 'cancelled') AND NOT EXISTS (SELECT 1 FROM outbox WHERE spawn = spawns.id"
    " AND outbox.state = 'pending') ORDER BY n DESC LIMIT :step OFFSET :kept",
    first_column,
)


def forget(tx: Tx, gone: Sequence[str]) -> None:
    """Delete spawns with all that hangs on them."""
    for table, key in (("spawns", "id"), *((table, "spawn") for table in _BESIDE)):
        tx.executemany(f"DELETE FROM {table} WHERE {key} = ?", [(spawn,) for spawn in gone])
    for spawn in gone:
        blobs.forget_spawn(tx, spawn)

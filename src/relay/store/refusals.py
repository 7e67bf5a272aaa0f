"""What came in and was not taken: what failed here and comes again, and what was refused for good. Bounded."""

from __future__ import annotations

from enum import StrEnum

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, mapper

KEPT_EACH = 100  # of one origin: a peer that floods drives out its own only


class RefusalState(StrEnum):
    """Whether it may still be taken."""

    FAILING = "failing"
    REFUSED = "refused"


@frozen
class Refusal:
    """An envelope that was not taken in. Times in milliseconds.

    Attributes:
        id: the envelope's, 16 bytes; `kind` the header's.
        tries: how often it failed or was refused here.
        first, last: when it came first and last.
        reason: why, for people.
    """

    origin: BrokerId
    id: bytes
    kind: str
    state: RefusalState
    tries: int
    first: int
    last: int
    reason: str


_SELECT = f"SELECT {columns(Refusal)} FROM refusals"
_row = mapper(Refusal, state=RefusalState)

NEWEST: Query[Refusal] = Query(f"{_SELECT} ORDER BY last DESC, id LIMIT :limit", _row)
FAILING: Query[Refusal] = Query(f"{_SELECT} WHERE state = 'failing'", _row)
BY_ID: Query[Refusal] = Query(f"{_SELECT} WHERE origin = :origin AND id = :id", _row)
_NOTE = (
    "INSERT INTO refusals (origin, id, kind, state, tries, first, last, reason)"
    " VALUES (:origin, :id, :kind, :state, 1, :now, :now, :reason) ON CONFLICT DO UPDATE"
    " SET state = excluded.state, tries = tries + :more, last = excluded.last, reason = excluded.reason"
)
_TRIM = (
    "DELETE FROM refusals WHERE origin = :origin AND id IN"
    " (SELECT id FROM refusals WHERE origin = :origin ORDER BY last DESC LIMIT -1 OFFSET :kept)"
)


def _note(tx: Tx, origin: BrokerId, envelope: bytes, kind: str, state: RefusalState, reason: str, now: int) -> None:
    more = int(state is RefusalState.FAILING)
    values = {"origin": origin, "id": envelope, "kind": kind, "state": str(state), "reason": reason, "now": now}
    tx.execute(_NOTE, values | {"more": more})
    tx.execute(_TRIM, {"origin": origin, "kept": KEPT_EACH})


def failed(tx: Tx, origin: BrokerId, envelope: bytes, kind: str, reason: str, now: int) -> int:
    """Count a failure of ours with an envelope; how many there were.

    Args:
        now: milliseconds.
    """
    _note(tx, origin, envelope, kind, RefusalState.FAILING, reason, now)
    found = BY_ID.one(tx, origin=origin, id=envelope)
    return found.tries if found is not None else 1


def refused(tx: Tx, origin: BrokerId, envelope: bytes, kind: str, reason: str, now: int) -> None:
    """Remember that an envelope was refused for good; the count of its failures stays.

    Args:
        now: milliseconds.
    """
    _note(tx, origin, envelope, kind, RefusalState.REFUSED, reason, now)


def taken(tx: Tx, origin: BrokerId, envelope: bytes) -> None:
    """It was taken in after all."""
    tx.execute("DELETE FROM refusals WHERE origin = ? AND id = ?", (origin, envelope))


def purge(tx: Tx, before: int) -> int:
    """Forget what was last seen before a moment (milliseconds); how many."""
    return tx.execute("DELETE FROM refusals WHERE last < ?", (before,)).rowcount

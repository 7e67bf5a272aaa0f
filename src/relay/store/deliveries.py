"""What a person was told, is to be told, and how that went: one row for each event and channel."""

from __future__ import annotations

import dataclasses
from enum import StrEnum

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper


class Told(StrEnum):
    """How a delivery stands."""

    DUE = "due"
    SENDING = "sending"
    DELIVERED = "delivered"
    ELSEWHERE = "elsewhere"  # another broker told it
    GIVEN_OVER = "given_over"  # it failed, and another channel tells it
    FAILED = "failed"
    UNSURE = "unsure"  # cut off twice in the middle: told at least once, if at all


@frozen
class Delivery:
    """One event over one channel. Times in milliseconds.

    Attributes:
        event: the id of what happened, the same wherever and whenever it is told.
        channel: over which.
        spawn: what it is about; empty for a test.
        happening: `core.notices.Happening`.
        title, body, level: what is sent.
        state: where it stands.
        due: not to be tried before.
        tries: how often it was begun.
        doubts: how often it was cut off where it may have been sent.
        error: how the last try failed; empty for none.
        created, ended: when it was written down, and over.
        told_by: the broker that told it, or None.
    """

    event: str
    channel: str
    spawn: str
    happening: str
    title: str
    body: str
    level: str
    state: Told
    due: int
    tries: int
    doubts: int
    error: str
    created: int
    ended: int | None = None
    told_by: BrokerId | None = None


_row = mapper(Delivery, state=Told)
_SELECT = f"SELECT {columns(Delivery)} FROM notify_deliveries"
_NAMES = tuple(Delivery.__match_args__)
_INSERT = insertion("notify_deliveries", _NAMES).replace("INSERT", "INSERT OR IGNORE", 1)
_UPDATE = ", ".join(f"{name} = :{name}" for name in _NAMES if name not in ("event", "channel"))

ONE: Query[Delivery] = Query(f"{_SELECT} WHERE event = :event AND channel = :channel", _row)
# the next one of each channel, a test before all others: SQLite takes the other columns from the row of the minimum
NEXT: Query[Delivery] = Query(
    f"SELECT {columns(Delivery)} FROM (SELECT *, min(CASE state WHEN 'sending' THEN 0 ELSE due * (spawn <> '') END)"
    " FROM notify_deliveries WHERE ended IS NULL GROUP BY channel) ORDER BY due",
    _row,
)
DUE_OVER: Query[Delivery] = Query(
    f"{_SELECT} WHERE channel = :channel AND ended IS NULL AND state = 'due' AND due <= :now AND spawn <> ''"
    " ORDER BY due, event LIMIT :limit",
    _row,
)
SENDING_OVER: Query[Delivery] = Query(
    f"{_SELECT} WHERE channel = :channel AND ended IS NULL AND state = 'sending' ORDER BY event", _row
)
SENDING: Query[Delivery] = Query(f"{_SELECT} WHERE ended IS NULL AND state = 'sending'", _row)
NEWEST: Query[Delivery] = Query(f"{_SELECT} ORDER BY created DESC, event, channel LIMIT :limit", _row)
OF_SPAWN: Query[Delivery] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY created, event, channel", _row)
LAST: Query[Delivery] = Query(
    f"{_SELECT} WHERE channel = :channel AND tries > 0 ORDER BY created DESC LIMIT 1", _row
)
WAITING: Query[int] = Query(
    "SELECT count(*) FROM notify_deliveries WHERE channel = :channel AND ended IS NULL", first_column
)


def add(tx: Tx, delivery: Delivery) -> bool:
    """Keep a new one; False where this event is known for this channel."""
    values = {name: getattr(delivery, name) for name in _NAMES}
    return tx.execute(_INSERT, values | {"state": str(delivery.state)}).rowcount > 0


def update(tx: Tx, delivery: Delivery) -> None:
    """Keep how one stands now."""
    values = {name: getattr(delivery, name) for name in _NAMES} | {"state": str(delivery.state)}
    tx.execute(f"UPDATE notify_deliveries SET {_UPDATE} WHERE event = :event AND channel = :channel", values)


def begin(tx: Tx, delivery: Delivery) -> None:
    """Note that a try begins: before it does."""
    update(tx, delivery)


def finish(tx: Tx, delivery: Delivery) -> None:
    """Note how a try ended."""
    update(tx, delivery)


def put_off_less(tx: Tx, now: int, most: int) -> None:
    """Have nothing wait longer than is ever waited: it was put off, or written down, by a clock that was ahead.

    Args:
        now: milliseconds.
        most: the longest wait, milliseconds.
    """
    sql = "UPDATE notify_deliveries SET due = min(due, :now), created = min(created, :now)"
    tx.execute(f"{sql} WHERE ended IS NULL AND due > :latest", {"now": now, "latest": now + most})


def tell_elsewhere(tx: Tx, delivery: Delivery, by: BrokerId, now: int) -> None:
    """Note that another broker told it; `now` in milliseconds."""
    update(tx, dataclasses.replace(delivery, state=Told.ELSEWHERE, ended=now, told_by=by))


def forget_before(tx: Tx, before: int) -> None:
    """Delete what was over before a moment (milliseconds)."""
    tx.execute("DELETE FROM notify_deliveries WHERE ended < ?", (before,))

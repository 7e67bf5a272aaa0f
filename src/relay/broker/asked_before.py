"""What a client's operation id (an idempotency key) was used for already: the same request sent again acts once."""

from __future__ import annotations

from relay.broker.orders import Order
from relay.core.errors import Code, Misuse
from relay.store import operations, schedules
from relay.store.query import Tx
from relay.store.schedules import Schedule
from relay.store.spawn_rows import BY_ID, SpawnRow


def earlier_spawn(tx: Tx, order: Order) -> SpawnRow | None:
    """The spawn that this order's operation made before; None where it is new.

    Raises:
        Misuse: `conflict`: it was used for something else.
    """
    known = operations.ANSWER.one(tx, op=order.operation)
    if known is None:
        return None
    row = BY_ID.one(tx, id=str(known.get("spawn", "")) if isinstance(known, dict) else "")
    if row is None or row.agent != order.request.agent or row.task != order.request.task:
        raise _conflict()
    return row


def earlier_schedule(tx: Tx, order: Order) -> Schedule | None:
    """The schedule that this order's operation made before; None where it is new.

    Raises:
        Misuse: `conflict`: it was used for something else.
    """
    known = operations.ANSWER.one(tx, op=order.operation)
    if known is None:
        return None
    found = schedules.BY_ID.one(tx, id=str(known.get("schedule", "")) if isinstance(known, dict) else "")
    if found is None:
        raise _conflict()
    return found


def require_first_invite(tx: Tx, operation: str) -> None:
    """Go on only where this operation has made nothing yet: what an invite was is kept nowhere, and not shown again.

    Raises:
        Misuse: `conflict`.
    """
    if operations.ANSWER.one(tx, op=operation) is not None:
        raise Misuse(
            "this idempotency key was used already",
            code=Code.CONFLICT,
            why="an invite is shown once; one that nobody saw ends by itself",
            hint="relay invite, for another one",
        )


def _conflict() -> Misuse:
    return Misuse(
        "this operation id was used for something else",
        code=Code.CONFLICT,
        why="an idempotency key names one request for ever",
        hint="choose another --idempotency-key",
    )

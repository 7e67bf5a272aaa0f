"""What a client's operation id (an idempotency key) was used for already: the same request sent again acts once."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from relay.broker.orders import Order
from relay.core.errors import Code, Misuse
from relay.store import operations, schedules, steers
from relay.store.query import Tx, as_json
from relay.store.schedules import Schedule
from relay.store.spawn_rows import BY_ID, SpawnRow


def remember(tx: Tx, order: Order, at: int, made: dict[str, str], every: str | None = None) -> None:
    """Keep what an order has made, and what was to run where, by its operation.

    Args:
        order: what was asked for.
        at: milliseconds.
        made: `spawn` or `schedule` with its id.
        every: of a schedule.
    """
    operations.remember(tx, order.operation, at, made | {"asked": _asked(order, every)})


def earlier_spawn(tx: Tx, order: Order) -> SpawnRow | None:
    """The spawn that this order's operation made before; None where it is new.

    Raises:
        Misuse: `conflict`: it was used for something else.
    """
    known = operations.ANSWER.one(tx, op=order.operation)
    if known is None:
        return None
    spawn = _made(known, "spawn", order, None)
    row = BY_ID.one(tx, id=spawn)
    if row is None and spawn:
        raise _forgotten(spawn)
    if row is None or ("asked" not in known and (row.agent, row.task) != (order.request.agent, order.request.task)):
        raise conflict()
    return row


def earlier_schedule(tx: Tx, order: Order, every: str) -> Schedule | None:
    """The schedule that this order's operation made before; None where it is new.

    Raises:
        Misuse: `conflict`: it was used for something else.
    """
    known = operations.ANSWER.one(tx, op=order.operation)
    if known is None:
        return None
    found = schedules.BY_ID.one(tx, id=_made(known, "schedule", order, every))
    if found is None:
        raise conflict()
    return found


def is_asked_again(tx: Tx, operation: str, at: int, spawn: str, verb: str) -> bool:
    """Whether this operation did this to this spawn before; where it is new that is kept.

    Args:
        operation: the client's.
        at: milliseconds.
        spawn: what it is about; empty for a whole queue.
        verb: what is done with it.

    Raises:
        Misuse: `conflict`: it was used for something else.
    """
    known = operations.ANSWER.one(tx, op=operation) or _steered(tx, operation)
    if known is None:
        operations.remember(tx, operation, at, {"spawn": spawn, "verb": verb})
        return False
    # an earlier version kept no verb
    if "asked" in known or (known.get("spawn", spawn), known.get("verb", verb)) != (spawn, verb):
        raise conflict()
    return True


def _steered(tx: Tx, operation: str) -> dict[str, str] | None:
    """What was asked of another broker by an earlier version, or so long ago that the operation is forgotten."""
    known = steers.BY_OPERATION.one(tx, operation=operation)
    return None if known is None else {"verb": known.verb} | ({"spawn": known.spawn} if known.spawn else {})


def _made(known: Any, kind: str, order: Order, every: str | None) -> str:
    is_same = isinstance(known, dict) and "verb" not in known and known.get("asked") in (None, _asked(order, every))
    return str(known.get(kind, "")) if is_same else ""


def _asked(order: Order, every: str | None) -> str:
    """What is to run, and where. How it is to be queued and limited may be said otherwise: it is the same work."""
    request = order.request
    what = (order.target, request.agent, request.task, request.argv, request.cwd, every)
    return sha256(as_json(what).encode()).hexdigest()[:32]


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


def _forgotten(spawn: str) -> Misuse:
    """It does not run again under this key, and there is nothing left to answer with."""
    return Misuse(
        f"what was asked for under this operation id has ended and is not kept any more: {spawn}",
        code=Code.CONFLICT,
        why="an idempotency key names one request for ever",
        hint="choose another --idempotency-key, if it is to run again",
    )


def conflict() -> Misuse:
    """The error for an operation id that stands for another request already."""
    return Misuse(
        "this operation id was used for something else",
        code=Code.CONFLICT,
        why="an idempotency key names one request for ever",
        hint="choose another --idempotency-key",
    )

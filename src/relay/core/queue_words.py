"""Why a spawn waits, in words: the same whether its target tells its origin or shows it here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, tzinfo

from relay.core.moments import clock, pause
from relay.core.slots import Occupancy

SHOWN = 3  # predecessors named in one sentence


def queue_paused(by: str, since: int, now: int, zone: tzinfo = UTC) -> str:
    """The whole queue rests."""
    return f"the queue is paused by {by} since {clock(since // 1000 * 1000, now, zone)}"


def paused(by: str) -> str:
    """The spawn was paused."""
    return f"paused by {by}"


def after(predecessors: Iterable[tuple[str, str]]) -> str:
    """It comes after others.

    Args:
        predecessors: name and state of each that has not ended as it must.
    """
    named = [f"{name} ({state})" for name, state in predecessors]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return f"after {', '.join(named[:SHOWN])}{more}"


def not_before(moment: int, now: int, zone: tzinfo = UTC) -> str:
    """Its moment has not come.

    Args:
        moment: when it may start; `now`: milliseconds since 1970.
        zone: whose clock.
    """
    return f"not before {clock(moment, now, zone)}"


def retry(number: int, most: int, moment: int, now: int, zone: tzinfo = UTC) -> str:
    """It pauses before another attempt; `moment` as for `not_before`."""
    at = clock(-(-moment // 1000) * 1000, now, zone)
    return f"retry {number} of {most} in {pause(moment - now)} ({at})"


def no_slot(occupancy: Occupancy, sort: str | None, ahead: int) -> str:
    """There is no slot for it.

    Args:
        occupancy: of the broker.
        sort: of which sort there is none; None where there is none at all.
        ahead: how many wait for one before it.
    """
    return f"{occupancy.busy(sort)}, {ahead} ahead"

"""Round trips over a link that a person asks for: the link's own ping, answered by the other broker's program."""

from __future__ import annotations

import asyncio
import time

from relay.broker.link import Link
from relay.core.errors import Code, Unreachable

WITHIN_S = 10.0


async def _asked(link: Link) -> float | None:
    while not link.ended.is_set():
        answered, started = link.answered, time.perf_counter()
        asked = link.ask()
        await answered.wait()
        # the answer to an earlier ping says nothing of how long this one takes
        if asked and not link.ended.is_set():
            return (time.perf_counter() - started) * 1000
    return None


async def round_trip(link: Link, name: str) -> float:
    """Milliseconds until the other side has answered a ping of this call's own.

    Args:
        link: one that is up.
        name: of the member, for the words.

    Raises:
        Unreachable: the link ended, or nobody answered in 10 s.
    """
    try:
        async with asyncio.timeout(WITHIN_S):
            took = await _asked(link)
    except TimeoutError:
        raise Unreachable(
            f"{name} does not answer", code=Code.TIMED_OUT, why="no answer in 10 s", hint="relay doctor"
        ) from None
    if took is None:
        raise Unreachable(f"the link to {name} has ended", why=link.reason, hint=f"relay broker show {name}")
    return took


def not_linked(name: str, absence: str, trouble: str | None) -> Unreachable:
    """The error for a member without a link.

    Args:
        name: what it is called.
        absence: what is known of its being away.
        trouble: what the last dial met.
    """
    met = f"; the last dial: {trouble}" if trouble else "; no address of it answered or is known yet"
    why = absence + met
    return Unreachable(f"there is no link to {name}", why=why, hint=f"relay broker show {name}")

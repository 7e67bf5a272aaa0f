"""Dialling several addresses of one member: the next one is tried when the last one is slow, the first link wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from relay.broker.carrier import Carrier
from relay.core.errors import RelayError

STAGGER_S = 0.5
MAX_ATTEMPTS = 256  # at once, over all members: each is a socket

Attempt = Callable[[str], Awaitable[Carrier]]


async def _tried(attempt: Attempt, address: str, failed: Callable[[str, RelayError], None]) -> Carrier | None:
    try:
        return await attempt(address)
    except RelayError as error:
        failed(address, error)
        return None


async def first(
    attempt: Attempt, addresses: Sequence[str], failed: Callable[[str, RelayError], None], enough: asyncio.Event
) -> Carrier | None:
    """The first connection that comes about, or None; the others are given up.

    Args:
        attempt: makes a connection to one address; raises RelayError.
        addresses: best first.
        failed: told of each that did not answer.
        enough: ends it all without a connection when it is set: something has changed.
    """
    running: set[asyncio.Task[Carrier | None]] = set()
    stop: asyncio.Task[object] = asyncio.ensure_future(enough.wait())
    left = list(addresses)
    try:
        while (left or running) and not enough.is_set():
            if left:
                running.add(asyncio.ensure_future(_tried(attempt, left.pop(0), failed)))
            waited: set[asyncio.Task[Any]] = {*running, stop}
            done, _ = await asyncio.wait(
                waited, timeout=STAGGER_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in running & done:
                running.discard(task)
                if (carrier := task.result()) is not None:
                    return carrier
        return None
    finally:
        stop.cancel()
        await _give_up(running)


async def _give_up(running: set[asyncio.Task[Carrier | None]]) -> None:
    for task in running:
        task.cancel()
    # one of them may have come about in the same moment
    for found in await asyncio.gather(*running, return_exceptions=True):
        if found is not None and not isinstance(found, BaseException):
            await found.close()

"""Waiting for a blob that a client asked for, and telling how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from relay.broker.blobs.downloads import Downloads

LOOK_EVERY_S = 0.25
STALLED_S = 3.0
BEGUN_S = 5.0
"""What is asked for and not begun is waited for so long."""


async def arriving(
    downloads: Downloads, address: bytes, since: float, is_to_come: Callable[[], Awaitable[bool]]
) -> AsyncIterator[int]:
    """The bytes of a blob that are here, again and again, until all are or nothing comes any more.

    Args:
        downloads: what is on its way.
        address: the blob's.
        since: from when on its beginning is waited for, monotonic seconds.
        is_to_come: whether it may still begin.
    """
    moved, before = time.monotonic(), -1
    while downloads.is_under_way(address) or (time.monotonic() - since < BEGUN_S and await is_to_come()):
        download = downloads.of(address)
        done = download.done if download is not None else 0
        if done != before:
            moved, before = time.monotonic(), done
        elif time.monotonic() - moved > STALLED_S:
            return
        yield done
        await asyncio.sleep(LOOK_EVERY_S)

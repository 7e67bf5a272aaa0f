"""Waiting for blobs that a client asked for, and telling how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from relay.broker.blobs.downloads import Downloads
from relay.broker.blobs.progress import LOOK_EVERY_S

STALLED_S = 3.0
BEGUN_S = 5.0
"""What is asked for and not begun is waited for so long."""


async def arriving(
    downloads: Downloads, wanted: Sequence[bytes], is_to_come: Callable[[], Awaitable[bool]]
) -> AsyncIterator[str]:
    """Why nothing of some blobs comes just now (empty: it does), again and again, until all are here or nothing comes.

    What waits for its turn is waited for as long as something comes of what is before it.

    Args:
        downloads: what is on its way.
        wanted: the blobs' addresses.
        is_to_come: whether one of them may still begin, where none has begun.
    """
    for each in wanted:
        downloads.ask_again(each)
    began = moved = time.monotonic()
    before = -1
    while True:
        coming = [each for each in wanted if downloads.is_under_way(each)]
        now = time.monotonic()
        if not coming and (now - began > BEGUN_S or not await is_to_come()):
            return
        left = sum(map(downloads.left, coming))
        if left != before or (any(map(downloads.is_in_line, coming)) and now - downloads.moved < STALLED_S):
            moved, before = now, left
        elif now - moved > STALLED_S:
            return
        yield next(filter(None, map(downloads.why, coming)), "")
        await asyncio.sleep(LOOK_EVERY_S)

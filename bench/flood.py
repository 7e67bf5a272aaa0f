"""A broker that, on SIGUSR1, posts many durable envelopes to a peer through its own journal, outbox and links.

    python bench/flood.py --peer ID --count N --poured FILE -- --home DIR ...

What follows `--` goes to `relay.daemon`, which is otherwise as always. Each envelope says `stop` of one spawn that
the peer does not know, the smallest effect there is: the peer verifies, opens, dedupes, writes a tombstone, and
signs a receipt. The first one is also answered with a word, the others have that answer already. FILE appears once
all are durable in this broker's outbox.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import runpy
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from relay.core import ids
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store.journal import Entry, Journal, Letter

POSTERS = 64
TTL_MS = 3_600_000


def _letter(peer: BrokerId, spawn: str, n: int) -> Letter:
    return Letter(peer, Kind.STOP, {"spawn": spawn}, f"flood-{spawn}-{n}", TTL_MS)


def _post(entry: Entry, letter: Letter) -> None:
    entry.post(letter)


async def _pour(journal: Journal, peer: BrokerId, count: int, poured: Path) -> None:
    left = iter(range(count))
    spawn = ids.spawn_id(os.urandom(ids.SPAWN_ID_BYTES))

    async def one_after_another() -> None:
        for n in left:
            await journal.commit(partial(_post, letter=_letter(peer, spawn, n)))

    await asyncio.gather(*(one_after_another() for _ in range(POSTERS)))
    await asyncio.to_thread(poured.touch)


def _flood_on_signal(peer: BrokerId, count: int, poured: Path) -> None:
    connect: Callable[..., None] = Journal.connect
    pouring: list[asyncio.Task[None]] = []

    def connected(journal: Journal, *args: Any, **kwargs: Any) -> None:
        connect(journal, *args, **kwargs)
        loop = asyncio.get_running_loop()
        pour = lambda: pouring.append(loop.create_task(_pour(journal, peer, count, poured)))  # noqa: E731
        loop.add_signal_handler(signal.SIGUSR1, pour)

    Journal.connect = connected  # type: ignore[method-assign, assignment]


def main() -> None:
    """Be the broker, and flood when told."""
    parser = argparse.ArgumentParser(prog="flood.py")
    parser.add_argument("--peer", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--poured", type=Path, required=True)
    at = sys.argv.index("--")
    chosen = parser.parse_args(sys.argv[1:at])
    _flood_on_signal(ids.parse_broker_id(chosen.peer), chosen.count, chosen.poured)
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

"""Values that the tests of the store share, and the running of its programs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot, SpawnRequest
from relay.core.states import State
from relay.store import events, spawns
from relay.store.engine import Store
from relay.store.outbox import Posting
from relay.store.query import Query, Tx
from relay.store.spawn_rows import SpawnRow

ROOT = Path(__file__).parents[2]
HERE, THERE, THIRD = BrokerId("a" * 56), BrokerId("b" * 56), BrokerId("c" * 56)
COUNT_EVENTS: Query[int] = Query("SELECT count(*) FROM events", lambda row: int(row[0]))


def spawn_id(number: int) -> str:
    return f"{number:o}".rjust(16, "a").translate(str.maketrans("01", "yz"))


def request(number: int, **changes: Any) -> SpawnRequest:
    values: dict[str, Any] = {
        "id": spawn_id(number),
        "name": f"spawn-{number}",
        "agent": "shell",
        "task": "true",
        "created": 1_000 + number,
        "expires": 10_000,
    }
    return SpawnRequest(**values | changes)


def insert(tx: Tx, number: int, *, state: State = State.QUEUED, **changes: Any) -> SpawnRow:
    origin, target = changes.pop("origin", HERE), changes.pop("target", THERE)
    since = changes.pop("since", None)
    asked = request(number, **changes)
    since = asked.created if since is None else since
    return spawns.insert(tx, asked, origin=origin, target=target, operation=f"op-{number}", state=state, since=since)


def word(number: int, attempt: int, seq: int, state: State, **changes: Any) -> Snapshot:
    values: dict[str, Any] = {"at": 2_000 + seq, "since": 2_000 + seq, "target": THERE}
    return Snapshot(spawn=spawn_id(number), attempt=attempt, seq=seq, state=state, **values | changes)


def posting(number: int, **changes: Any) -> Posting:
    values: dict[str, Any] = {
        "id": number.to_bytes(16, "big"),
        "recipient": THERE,
        "kind": "spawn",
        "operation": f"op-{number}",
        "envelope": bytes(100),
        "created": 1_000 + number,
        "expires": 5_000 + number,
    }
    return Posting(**values | changes)


def add_event(tx: Tx, number: int, size: int = 0) -> int:
    return events.append(tx, "test", {"number": number, "filler": "x" * size}, number)


class Gate:
    """An op that holds the writer, so that what is handed over meanwhile is one batch."""

    def __init__(self, store: Store) -> None:
        self._held, self._go = threading.Event(), threading.Event()
        self._task = asyncio.ensure_future(store.write(self._wait))

    def _wait(self, tx: Tx) -> None:
        self._held.set()
        self._go.wait(60)

    async def held(self) -> None:
        assert await asyncio.to_thread(self._held.wait, 60)

    async def open(self) -> None:
        self._go.set()
        await self._task


def program(
    name: str, *words: str, prefix: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Start one of the programs of this folder."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", f"tests.store.{name}", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )

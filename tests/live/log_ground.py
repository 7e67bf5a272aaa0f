"""Brokers of one process that read each other's logs: a reader, those in between, and the one that runs the task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from relay.broker.allowed import Grants
from relay.broker.auditor import Auditor
from relay.broker.gate import Gate
from relay.broker.log_reading import LogClient
from relay.broker.log_serving import LogServer, log_hears
from relay.broker.log_words import Waits
from relay.broker.logs import LocalLogs
from relay.core.grants import Change
from relay.core.ids import BrokerId
from relay.core.states import State
from relay.spawn.agents.registry import Agents
from relay.spawn.growth import Growth
from relay.spawn.shim import frames
from relay.spawn.supervisor import Supervisor
from relay.store.query import Tx
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.testing.bench_node import BenchNode, wall_ms
from relay.trust.grants import allow
from tests.store import specimens


class Tasks:
    """Stands where the supervisor does: where logs are, and who waits for them to grow."""

    def __init__(self, folder: Path) -> None:
        self.growth = Growth()
        self._folder = folder

    def log_of(self, spawn: str, attempt: int) -> Path:
        return self._folder / f"{spawn}-{attempt}.log"


class LogEnd:
    """Logs at one broker, and one task that runs at `target` for `origin`."""

    def __init__(self, node: BenchNode, origin: BenchNode, target: BenchNode) -> None:
        self.node = node
        self.tasks = Tasks(node.place.folder)
        self._parties: dict[str, Any] = {"origin": origin.id, "target": target.id}
        self._offset = 0

    async def begin(self) -> None:
        """Note the task, and read and serve from now on."""
        await self.node.store.write(self._note)
        allow(self.node.place.folder / "trust.toml", self._parties["origin"], "reader", Change(verbs=("view",)))
        self.put_together()

    def _note(self, tx: Tx) -> None:
        row = specimens.insert(tx, 1, **self._parties)
        tx.execute("UPDATE spawns SET state = ?, attempt = 1 WHERE id = ?", (str(State.RUNNING), row.id))

    def put_together(self) -> None:
        """As at a start of the broker."""
        node, tasks = self.node, cast("Supervisor", self.tasks)
        folder = node.place.folder
        auditor = Auditor(node.store, node.place.identity)
        gate = Gate(node.members, Grants(folder / "trust.toml"), cast("Agents", None), auditor, folder)
        self.local = LocalLogs(node.store, tasks)
        self.server = LogServer(self.local, node.store, gate, node.mesh, wall_ms)
        self.client = LogClient(node.mesh, node.store, tasks)
        node.hears = log_hears(self.server, self.client)
        node.on_link = self._link_changed

    def _link_changed(self) -> None:
        self.server.link_changed()
        self.client.link_changed()

    async def restart(self) -> None:
        """The broker is started anew."""
        self.server.close()
        await self.node.restart()
        self.put_together()

    async def row(self) -> SpawnRow:
        """The task."""
        found = await self.node.store.one(BY_ID, id=specimens.spawn_id(1))
        assert found is not None
        return found

    def write(self, data: bytes) -> None:
        """The task writes."""
        piece = b"".join(frames.pack(self._offset, 0, wall_ms(), data))
        self._offset += len(piece)
        with self.tasks.log_of(specimens.spawn_id(1), 1).open("ab") as file:
            file.write(piece)
        self.tasks.growth.grew(specimens.spawn_id(1))

    async def end(self) -> None:
        """The task has ended, as far as this broker knows."""
        sql = "UPDATE spawns SET state = ?, ended = 1 WHERE id = ?"
        await self.node.store.write(lambda tx: tx.execute(sql, (str(State.COMPLETED), specimens.spawn_id(1))))
        self.tasks.growth.grew(specimens.spawn_id(1))

    def serves(self, reader: BrokerId) -> int:
        """How many streams it has open for a reader."""
        return self.server.streams(reader)


class Follower:
    """Follows the task at the reader's broker; what it got so far."""

    def __init__(self, end: LogEnd) -> None:
        self._end = end
        self.data = b""
        self.told: list[str] = []

    async def run(self) -> None:
        """Until the task has ended, or for ever."""
        async for found in self._end.client.read(await self._end.row(), follow=True):
            if isinstance(found, Waits):
                self.told.append(found.text)
            else:
                self.data += b"".join(chunk.data for chunk in found)


class Turns:
    """How long this process has got no turn since a block began: it is silent itself meanwhile, and keeps no time."""

    def __init__(self) -> None:
        self._lost_s = 0.0
        self._turn = time.monotonic()

    async def __aenter__(self) -> Turns:
        self._turn = time.monotonic()
        self._looking = asyncio.ensure_future(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._looking.cancel()

    async def _look(self) -> None:
        while True:
            self._lost_s, self._turn = self.lost_s, time.monotonic()
            await asyncio.sleep(0.05)

    @property
    def lost_s(self) -> float:
        """Seconds."""
        late = time.monotonic() - self._turn - 0.05
        return self._lost_s + (late if late > 0.1 else 0.0)


async def ends_of(origin: BenchNode, target: BenchNode, between: Sequence[BenchNode] = ()) -> Any:
    """Logs at the origin and at the target."""
    made = [LogEnd(node, origin, target) for node in (origin, target)]
    for end in made:
        await end.begin()
    return made

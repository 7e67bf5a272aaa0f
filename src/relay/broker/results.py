"""The rooms around what is left of spawns, put together over one broker: their blobs, files, output and phases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.broker.blobs.room import Blobs, Terms
from relay.broker.collected import CollectedFiles, CollectedShelf
from relay.broker.durations import Durations
from relay.broker.placing import Placing
from relay.broker.running_tails import RunningTails
from relay.broker.transcripts import Transcripts
from relay.store.spawn_rows import SpawnRow

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


class Results:
    """What spawns came to, as it is kept here.

    Args:
        rooms: of the broker; those that run spawns, read logs and carry envelopes are made already.
    """

    def __init__(self, rooms: Rooms) -> None:
        own, config = rooms.members.own, rooms.config
        terms = Terms(Path(rooms.home.blobs), config.blob_quota, int(config.retention * 1000))
        self.blobs = Blobs(
            rooms.members,
            rooms.gate,
            rooms.auditor,
            rooms.journal,
            rooms.mesh.say,
            rooms.mesh.probe,
            rooms.mesh.has_way,
            terms,
            rooms.clocks.may_expire,
        )
        rooms.supervisor.collecting.connect(CollectedShelf(own, self.blobs))
        self.files = CollectedFiles(rooms.store, rooms.auditor, self.blobs)
        self.placing = Placing(rooms.journal, self.blobs, self.files)
        self.durations = Durations(own, rooms.store)
        self.tails = RunningTails(own, rooms.store, rooms.supervisor, rooms.mesh.say, rooms.journal.clock)
        self.transcripts = Transcripts(
            own, rooms.store, rooms.local_logs, rooms.log_client, rooms.views.is_in_reach
        )

    async def told(self, row: SpawnRow) -> dict[str, Any]:
        """What `show` and `result` tell of a spawn beside its row."""
        return {"durations": await self.durations.of(row)}

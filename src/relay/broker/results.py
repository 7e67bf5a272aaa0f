"""The rooms around what is left of spawns, put together over one broker: their blobs, files, output and phases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.broker.blobs.room import Blobs, Terms
from relay.broker.cleaning import Cleaning
from relay.broker.collected import CollectedFiles, CollectedShelf
from relay.broker.differences import Differences
from relay.broker.durations import Durations
from relay.broker.placing import Placing
from relay.broker.running_tails import RunningTails
from relay.broker.transcripts import Transcripts
from relay.broker.tree_writing import TreeWriting
from relay.broker.trees import Trees
from relay.core.spawning import Snapshot
from relay.store.journal import Entry
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
        rooms.supervisor.remains.collecting.connect(CollectedShelf(own, self.blobs))
        self.files = CollectedFiles(rooms.members, rooms.store, rooms.auditor, self.blobs)
        self.trees = Trees(rooms.members, rooms.store, rooms.auditor, self.blobs, rooms.supervisor)
        rooms.supervisor.remains.workshop.connect(self.trees)
        rooms.requests.on_accepted = self.trees.accepted
        self.tree_writing = TreeWriting(rooms.journal, self.blobs, self.trees, own)
        self.differences = Differences(self.tree_writing, str(rooms.home.path))
        self.cleaning = Cleaning(own, rooms.store, rooms.supervisor.remains.workshop, self.trees)
        self.placing = Placing(rooms.journal, self.blobs, self.files, own)
        self.durations = Durations(own, rooms.store)
        self.tails = RunningTails(own, rooms.store, rooms.supervisor, rooms.mesh.say, rooms.journal.clock)
        self.transcripts = Transcripts(
            own, rooms.store, rooms.local_logs, rooms.log_client, rooms.views.is_in_reach
        )

    def heard(self, entry: Entry, row: SpawnRow, snapshot: Snapshot) -> None:
        """A target's word came: what it gives back is asked for."""
        self.files.told(entry, row, snapshot)
        self.trees.told(entry, row, snapshot)

    async def told(self, row: SpawnRow) -> dict[str, Any]:
        """What `show` and `result` tell of a spawn beside its row."""
        return {"durations": await self.durations.of(row)}

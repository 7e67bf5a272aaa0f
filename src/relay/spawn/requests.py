"""A kept spawn as the request it was."""

from __future__ import annotations

from relay.core.spawning import SpawnRequest
from relay.store.spawn_rows import SpawnRow


def request_of(row: SpawnRow) -> SpawnRequest:
    """What was asked for, from the row that keeps it."""
    return SpawnRequest(
        id=row.id,
        name=row.name,
        agent=row.agent,
        task=row.task,
        created=row.created,
        expires=row.expires,
        argv=row.argv,
        cwd=row.cwd,
        mode=row.mode,
        model=row.model,
        timeout_s=row.timeout_s,
        labels=row.labels,
        requested_by=row.requested_by,
        chain=row.chain,
        wishes=row.wishes,
    )

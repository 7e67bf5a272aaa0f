"""What spawns were caused by spawns, with the signed links of their chains as bytes."""

from __future__ import annotations

from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, mapper


@frozen
class Provenance:
    """The spawn that caused one, and the packed links of its chain."""

    spawn: str
    parent: str
    links: bytes


OF_SPAWN: Query[Provenance] = Query(
    f"SELECT {columns(Provenance)} FROM provenance WHERE spawn = :spawn", mapper(Provenance)
)
CAUSED: Query[int] = Query("SELECT count(*) FROM provenance WHERE parent = :parent", first_column)


def keep(tx: Tx, found: Provenance) -> None:
    """Remember what a spawn was caused by."""
    tx.execute("INSERT OR IGNORE INTO provenance VALUES (?, ?, ?)", (found.spawn, found.parent, found.links))

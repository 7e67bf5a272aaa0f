"""The event stream, numbered, so that every subscriber can resume."""

from __future__ import annotations

import json
from typing import Any

from relay.core.values import frozen
from relay.store.query import Query, Tx, as_json, first_column, mapper

PURGE_STEP = 20_000


@frozen
class Event:
    """One event; `at` in milliseconds, `data` its own keys."""

    seq: int
    at: int
    kind: str
    data: dict[str, Any]


SINCE: Query[Event] = Query(
    "SELECT seq, at, kind, data FROM events WHERE seq > :seq ORDER BY seq LIMIT :limit", mapper(Event, data=json.loads)
)
HIGHEST: Query[int] = Query(
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)", first_column
)
ARE_MISSED: Query[int] = Query(
    "WITH newest(seq) AS (SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0))"
    " SELECT :seq > seq OR :seq < coalesce((SELECT min(seq) - 1 FROM events), seq) FROM newest",
    first_column,
)
"""Whether events after this number are gone, so that who resumes there must be told `reset`: they were purged, or the
number is of a later store than this one, which was put back from a copy."""


def append(tx: Tx, kind: str, data: dict[str, Any], at: int) -> int:
    """Add an event; its number.

    Args:
        kind: such as `spawn.state`.
        data: its own keys.
        at: milliseconds.
    """
    text = as_json(data)
    return tx.execute("INSERT INTO events (at, kind, data) VALUES (?, ?, ?)", (at, kind, text)).lastrowid or 0


def purge(tx: Tx, keep: int) -> int:
    """Delete all but the newest `keep` events; how many."""
    highest = HIGHEST.one(tx) or 0
    return tx.execute("DELETE FROM events WHERE seq <= ?", (highest - keep,)).rowcount


def purge_before(tx: Tx, before: int, limit: int = PURGE_STEP) -> int:
    """Delete the oldest events from before a moment; how many.

    Args:
        before: milliseconds.
        limit: most events in this transaction.
    """
    sql = "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?) AND at < ?"
    return tx.execute(sql, (limit, before)).rowcount

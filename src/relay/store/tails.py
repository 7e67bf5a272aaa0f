"""The ends of transcripts, and how long past spawns took in each phase."""

from __future__ import annotations

import json
from typing import Any

from relay.core.tails import Tail, tail_from_content
from relay.core.wire import pack, unpack
from relay.store.query import Query, Row, Tx, to_json

_MOST = 128 * 1024


def _tail(row: Row) -> Tail:
    return tail_from_content({"attempt": row[0], "at": row[1], "pieces": unpack(row[2], _MOST)})


TAIL: Query[Tail] = Query("SELECT attempt, at, pieces FROM tails WHERE spawn = :spawn", _tail)
DURATIONS: Query[dict[str, float | None]] = Query(
    "SELECT seconds FROM durations WHERE spawn = :spawn", lambda row: dict(json.loads(row[0]))
)


def keep(tx: Tx, spawn: str, tail: Tail) -> bool:
    """Keep a tail; False where one of a later attempt, or a further one, is here."""
    sql = (
        "INSERT INTO tails VALUES (?, ?, ?, ?, ?) ON CONFLICT (spawn) DO UPDATE SET attempt = excluded.attempt,"
        " at = excluded.at, end = excluded.end, pieces = excluded.pieces"
        " WHERE (excluded.attempt, excluded.end) >= (attempt, end)"
    )
    values = (spawn, tail.attempt, tail.at, tail.end, pack(tail.to_content()["pieces"]))
    return tx.execute(sql, values).rowcount > 0


def forget_told(tx: Tx, spawn: str) -> bool:
    """Delete the tail of a spawn that ran here, once its origin has it; the transcript itself is here."""
    sql = (
        "DELETE FROM tails WHERE spawn = ? AND EXISTS (SELECT 1 FROM attempts WHERE attempts.spawn = tails.spawn)"
        " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.spawn = tails.spawn)"
    )
    return tx.execute(sql, (spawn,)).rowcount > 0


def keep_durations(tx: Tx, spawn: str, seconds: dict[str, Any]) -> None:
    """Write down how long a spawn took, seconds by phase."""
    tx.execute("INSERT OR REPLACE INTO durations VALUES (?, ?)", (spawn, to_json(seconds)))

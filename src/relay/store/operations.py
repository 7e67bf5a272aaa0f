"""Answers of the control API by operation id, so that a client's retry after a lost answer acts once."""

from __future__ import annotations

import json
from typing import Any

from relay.store.query import Query, Tx, as_json

ANSWER: Query[Any] = Query("SELECT answer FROM operations WHERE op = :op", lambda row: json.loads(row[0]))


def remember(tx: Tx, op: str, at: int, answer: Any) -> None:
    """Keep the answer to an operation; call it in the transaction of its effect, after `ANSWER` gave None.

    Args:
        op: the client's operation id.
        at: milliseconds.
        answer: any JSON value but null.
    """
    tx.execute("INSERT INTO operations VALUES (?, ?, ?)", (op, at, as_json(answer)))


def purge(tx: Tx, before: int) -> int:
    """Forget the operations answered before this moment (milliseconds); how many."""
    return tx.execute("DELETE FROM operations WHERE at < ?", (before,)).rowcount

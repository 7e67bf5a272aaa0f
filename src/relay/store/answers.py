"""What persons of this machine answered about spawns elsewhere, and what became of it."""

from __future__ import annotations

import json
from typing import Any

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, mapper, to_json


@frozen
class Answered:
    """One answer.

    Attributes:
        operation: the client's; the same one acts once.
        spawn, target, request: what it answers, and where.
        verb: `approve`, `deny` or `send`.
        person: who typed it.
        at: when, milliseconds.
        outcome: `{"accepted","said","error"}` by the word of the target, or None while there is none.
    """

    operation: str
    spawn: str
    target: BrokerId
    request: str
    verb: str
    person: str
    at: int
    outcome: dict[str, Any] | None = None


BY_OPERATION: Query[Answered] = Query(
    f"SELECT {columns(Answered)} FROM answers WHERE operation = :operation", mapper(Answered, outcome=json.loads)
)


def keep(tx: Tx, answer: Answered) -> None:
    """Keep a new answer."""
    values = (
        answer.operation,
        answer.spawn,
        answer.target,
        answer.request,
        answer.verb,
        answer.person,
        answer.at,
        to_json(answer.outcome),
    )
    tx.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def settle(tx: Tx, operation: str, target: BrokerId, outcome: dict[str, Any]) -> bool:
    """Keep the target's word on an answer; False where none waits for it, or there is one."""
    sql = "UPDATE answers SET outcome = ? WHERE operation = ? AND target = ? AND outcome IS NULL"
    return tx.execute(sql, (to_json(outcome), operation, target)).rowcount > 0


def reopen(tx: Tx, operation: str) -> None:
    """Forget what became of an answer that is sent again: the word to come counts."""
    tx.execute("UPDATE answers SET outcome = NULL WHERE operation = ?", (operation,))


def purge(tx: Tx, before: int) -> int:
    """Forget answers given before a moment (milliseconds); how many."""
    return tx.execute("DELETE FROM answers WHERE at < ?", (before,)).rowcount

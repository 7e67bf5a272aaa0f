"""What persons are asked about spawns of this machine, what was answered, and what is typed into running tasks."""

from __future__ import annotations

import json
from typing import Any

from relay.core.ids import BrokerId
from relay.core.questions import Asked
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, to_json

APPROVED, WITHDRAWN, ENDED = "approve", "withdrawn", "ended"
_SPENT = "spent "


@frozen
class Question:
    """One question. Times in milliseconds.

    Attributes:
        request: its id.
        spawn, attempt: what it is about; attempt 0 before the first.
        kind: why a person is needed.
        name: what the agent itself calls it, so that it is asked once however often the output is read; or None.
        text: what is asked, in words.
        tool, input: what the agent wants to use, and with what; or None.
        mode: the mode that a permission takes; None where it goes beyond every mode.
        hash: for `held`: of the request, and of an approval that is spent no request's any more (`was_to`).
        log_bytes: for `silent`: how long the log was; more of it withdraws the question.
        asked, expires: when, and until when it may be answered; None for as long as the spawn lives.
        closed: when it was answered or lapsed, or None.
        closed_as: `approve`, `deny` or `send`, `withdrawn` (it was no more needed) or `ended` (the spawn has).
        closed_by: the broker that answered.
        person: who did there, for views.
        answer: the text, where there was one.
    """

    request: str
    spawn: str
    attempt: int
    kind: Asked
    name: str | None
    text: str
    tool: str | None
    input: Any
    mode: str | None
    hash: str
    log_bytes: int
    asked: int
    expires: int | None
    closed: int | None = None
    closed_as: str | None = None
    closed_by: BrokerId | None = None
    person: str = ""
    answer: str = ""


_row = mapper(Question, kind=Asked, input=json.loads)
_SELECT = f"SELECT {columns(Question)} FROM questions"
_NAMES = tuple(Question.__match_args__)
_INSERT = insertion("questions", _NAMES)

BY_REQUEST: Query[Question] = Query(f"{_SELECT} WHERE request = :request AND spawn = :spawn", _row)
BY_NAME: Query[Question] = Query(f"{_SELECT} WHERE spawn = :spawn AND attempt = :attempt AND name = :name", _row)
OPEN_OF: Query[Question] = Query(f"{_SELECT} WHERE spawn = :spawn AND closed IS NULL ORDER BY asked, request", _row)
OPEN: Query[Question] = Query(f"{_SELECT} WHERE closed IS NULL ORDER BY asked, request", _row)
OF_SPAWN: Query[Question] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY asked, request", _row)
LAST_CLOSED: Query[Question] = Query(
    f"{_SELECT} WHERE spawn = :spawn AND closed IS NOT NULL ORDER BY closed DESC LIMIT 1", _row
)
HELD_FROM: Query[int] = Query(
    "SELECT count(*) FROM spawns WHERE live = 1 AND target = :target AND state = 'held' AND origin = :origin",
    first_column,
)
ASKED_BY: Query[int] = Query(
    "SELECT count(*) FROM questions AS q JOIN spawns AS s ON s.id = q.spawn"
    " WHERE q.kind = 'held' AND q.asked > :since AND q.asked <= :now AND s.target = :target AND s.origin = :origin",
    first_column,
)
# an agent's, asked and taken back again before anybody answered
TAKEN_BACK: Query[int] = Query(
    "SELECT count(*) FROM questions WHERE spawn = :spawn AND attempt = :attempt"
    " AND closed_as = 'withdrawn' AND kind IN ('permission', 'question')",
    first_column,
)
_APPROVED: Query[int] = Query(
    "SELECT 1 FROM questions WHERE spawn = :spawn AND kind = 'held' AND closed_as = 'approve' AND hash = :hash",
    first_column,
)


def ask(tx: Tx, question: Question) -> None:
    """Keep a new question."""
    values: dict[str, Any] = {name: getattr(question, name) for name in _NAMES}
    tx.execute(_INSERT, values | {"kind": str(question.kind), "input": to_json(question.input)})


def close(
    tx: Tx, request: str, now: int, how: str, by: BrokerId | None = None, person: str = "", answer: str = ""
) -> bool:
    """Close a question; False where it is closed already.

    Args:
        now: milliseconds.
        how: as `Question.closed_as`.
        by, person: who answered.
        answer: the text.
    """
    sql = (
        "UPDATE questions SET closed = ?, closed_as = ?, closed_by = ?, person = ?, answer = ?"
        " WHERE request = ? AND closed IS NULL"
    )
    return tx.execute(sql, (now, how, by, person, answer, request)).rowcount > 0


def close_all(tx: Tx, spawn: str, now: int, how: str) -> int:
    """Close what is still asked about a spawn; how many."""
    sql = "UPDATE questions SET closed = ?, closed_as = ? WHERE spawn = ? AND closed IS NULL"
    return tx.execute(sql, (now, how, spawn)).rowcount


def is_approved(tx: Tx, spawn: str, request_hash: str) -> bool:
    """Whether a person has approved this very request."""
    return _APPROVED.one(tx, spawn=spawn, hash=request_hash) is not None


def spend(tx: Tx, spawn: str) -> None:
    """What a person has approved of a spawn was for the attempts that it had: it is worth nothing to further ones."""
    sql = (
        "UPDATE questions SET hash = ? || hash"
        " WHERE spawn = ? AND kind = 'held' AND closed_as = ? AND hash NOT LIKE ? || '%'"
    )
    tx.execute(sql, (_SPENT, spawn, APPROVED, _SPENT))


def is_spent(question: Question) -> bool:
    """Whether an approval was for attempts that were made."""
    return question.hash.startswith(_SPENT)


def was_to(question: Question) -> str:
    """The hash of the request that was asked about, also where its approval is spent."""
    return question.hash.removeprefix(_SPENT)


@frozen
class Input:
    """What is to be typed into a running attempt.

    Attributes:
        spawn, attempt: which.
        n: from 1, in the order in which it was sent.
        data: the bytes.
        at: when it was accepted, milliseconds.
        fed: when the shim had it, or None.
    """

    spawn: str
    attempt: int
    n: int
    data: bytes
    at: int
    fed: int | None = None


UNFED: Query[Input] = Query(
    f"SELECT {columns(Input)} FROM inputs WHERE spawn = :spawn AND attempt = :attempt AND fed IS NULL ORDER BY n",
    mapper(Input),
)
WITH_UNFED: Query[tuple[str, int]] = Query(
    "SELECT DISTINCT inputs.spawn, inputs.attempt FROM inputs JOIN spawns ON spawns.id = inputs.spawn"
    " WHERE fed IS NULL AND spawns.live = 1 AND spawns.attempt = inputs.attempt",
    lambda row: (row[0], row[1]),
)
_UNFED_BYTES: Query[int] = Query(
    "SELECT coalesce(sum(length(data)), 0) FROM inputs WHERE spawn = :spawn AND attempt = :attempt AND fed IS NULL",
    first_column,
)


def type_in(tx: Tx, spawn: str, attempt: int, data: bytes, now: int) -> int:
    """Keep what is to be typed; its number.

    Args:
        now: milliseconds.
    """
    sql = (
        "INSERT INTO inputs (spawn, attempt, n, at, data) SELECT :spawn, :attempt,"
        " coalesce(max(n), 0) + 1, :now, :data FROM inputs WHERE spawn = :spawn AND attempt = :attempt RETURNING n"
    )
    values = {"spawn": spawn, "attempt": attempt, "now": now, "data": data}
    return int(tx.execute(sql, values).fetchone()[0])


def unfed_bytes(tx: Tx, spawn: str, attempt: int) -> int:
    """How many bytes the task has not been given yet."""
    return _UNFED_BYTES.one(tx, spawn=spawn, attempt=attempt) or 0


def fed(tx: Tx, spawn: str, attempt: int, n: int, now: int) -> None:
    """The shim has everything up to this number."""
    sql = "UPDATE inputs SET fed = ?, data = x'' WHERE spawn = ? AND attempt = ? AND n <= ? AND fed IS NULL"
    tx.execute(sql, (now, spawn, attempt, n))

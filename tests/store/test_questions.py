"""Questions are closed once, an agent's is kept once, approvals name a hash, and what is typed has numbers."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import Any, cast

import pytest

from relay.core.questions import Asked
from relay.core.states import State
from relay.spawn.agents.asking import AgentQuestion
from relay.spawn.asking import HOUR_MS, MOST_ASKED, MOST_TAKEN_BACK, Asking
from relay.spawn.ledger import Ledger
from relay.store import answers, questions, spawns
from relay.store.answers import Answered
from relay.store.journal import Entry, Postbox
from relay.store.query import Tx
from relay.store.questions import BY_NAME, BY_REQUEST, LAST_CLOSED, OPEN, OPEN_OF, UNFED, WITH_UNFED, Question
from relay.store.spawn_rows import SpawnRow

from .specimens import HERE, THERE, insert, spawn_id, word


def question(number: int, spawn: int = 1, **changes: Any) -> Question:
    plain = Question(
        request=spawn_id(number),
        spawn=spawn_id(spawn),
        attempt=1,
        kind=Asked.PERMISSION,
        name=None,
        text="may I?",
        tool="write",
        input={"a": [1]},
        mode="edit",
        hash="",
        log_bytes=0,
        asked=number,
        expires=None,
    )
    return dataclasses.replace(plain, **changes)


def test_a_question_comes_back_as_it_was_and_is_closed_once(tx: Tx) -> None:
    asked = question(2)
    questions.ask(tx, asked)
    assert OPEN.all(tx) == OPEN_OF.all(tx, spawn=asked.spawn) == [asked]
    assert questions.close(tx, asked.request, 9, "approve", HERE, "ann", "fine")
    assert not questions.close(tx, asked.request, 10, "deny", THERE)
    closed = dataclasses.replace(
        asked, closed=9, closed_as="approve", closed_by=HERE, person="ann", answer="fine"
    )
    assert BY_REQUEST.one(tx, request=asked.request, spawn=asked.spawn) == closed
    assert LAST_CLOSED.one(tx, spawn=asked.spawn) == closed and not OPEN.all(tx)
    assert BY_REQUEST.one(tx, request=asked.request, spawn=spawn_id(7)) is None


def test_what_an_agent_asks_is_kept_once(tx: Tx) -> None:
    questions.ask(tx, question(2, name="toolu_1"))
    with pytest.raises(sqlite3.IntegrityError):
        questions.ask(tx, question(3, name="toolu_1"))
    assert BY_NAME.one(tx, spawn=spawn_id(1), attempt=1, name="toolu_1") == question(2, name="toolu_1")
    questions.ask(tx, question(4, name="toolu_1", attempt=2))


def test_an_approval_is_of_one_hash(tx: Tx) -> None:
    questions.ask(tx, question(2, kind=Asked.HELD, hash="a" * 64))
    assert not questions.is_approved(tx, spawn_id(1), "a" * 64)
    questions.close(tx, spawn_id(2), 9, questions.APPROVED, HERE)
    assert questions.is_approved(tx, spawn_id(1), "a" * 64)
    assert not questions.is_approved(tx, spawn_id(1), "b" * 64)


def test_who_takes_back_what_is_held_and_asks_anew_is_counted_by_the_hour(tx: Tx) -> None:
    asking = Asking(HERE, cast("Ledger", None), None, str)
    row = insert(tx, 1, origin=THERE, target=HERE, state=State.CANCELLED)
    insert(tx, 2, origin=HERE, target=HERE, state=State.CANCELLED)
    now = 10 * HOUR_MS

    def refused(at: int, asker: SpawnRow = row) -> str | None:
        error = asking.too_many(Entry(tx, at, cast("Postbox", None)), asker)
        return None if error is None else str(error.code)

    for number in range(MOST_ASKED - 1):
        questions.ask(tx, question(100 + number, kind=Asked.HELD, asked=now - number))
    questions.ask(tx, question(8, kind=Asked.PERMISSION, asked=now))
    questions.ask(tx, question(9, 2, kind=Asked.HELD, asked=now))
    assert refused(now) is None
    questions.ask(tx, question(10, kind=Asked.HELD, asked=now))
    assert refused(now) == "rate_limited"
    assert refused(now, dataclasses.replace(row, origin=HERE)) is None
    assert refused(now + HOUR_MS) is None


def test_an_agent_that_asks_and_takes_back_for_ever_fills_nothing(tx: Tx) -> None:
    """As what it starts could write into its output; one question stays open, so that no word is told meanwhile."""
    asking = Asking(HERE, cast("Ledger", None), None, str)
    row = insert(tx, 1, origin=THERE, target=HERE, state=State.DELIVERED)
    first = question(1000)
    questions.ask(tx, first)
    needs = {"request": first.request, "text": "?"}
    spawns.apply_snapshot(tx, word(1, 1, 1, State.NEEDS_INPUT, target=HERE, needs=needs), 1)
    row = spawns.require(tx, row.id)
    entry = Entry(tx, 5, cast("Postbox", None))
    for n in range(MOST_TAKEN_BACK + 20):
        asking.asked(entry, row, [AgentQuestion(f"q{n}", Asked.PERMISSION, "may I?")], [])
        asking.asked(entry, row, [], [f"q{n}"])
    assert len(questions.OF_SPAWN.all(tx, spawn=row.id)) == MOST_TAKEN_BACK + 1
    assert [each.request for each in OPEN_OF.all(tx, spawn=row.id)] == [first.request]


def test_what_is_typed_is_numbered_and_forgotten_once_it_was_fed(tx: Tx) -> None:
    insert(tx, 1, state=State.DELIVERED)
    spawns.apply_snapshot(tx, word(1, 1, 1, State.RUNNING), 1)
    spawn = spawn_id(1)
    assert [questions.type_in(tx, spawn, 1, data, 5) for data in (b"a", b"bc")] == [1, 2]
    assert questions.type_in(tx, spawn, 2, b"x", 5) == 1
    assert questions.unfed_bytes(tx, spawn, 1) == 3 and WITH_UNFED.all(tx) == [(spawn, 1)]
    questions.fed(tx, spawn, 1, 1, 6)
    assert [(each.n, each.data) for each in UNFED.all(tx, spawn=spawn, attempt=1)] == [(2, b"bc")]
    questions.fed(tx, spawn, 1, 2, 7)
    assert questions.type_in(tx, spawn, 1, b"d", 8) == 3


def test_all_of_a_spawn_goes_with_it(tx: Tx) -> None:
    insert(tx, 1, state=State.DELIVERED)
    questions.ask(tx, question(2))
    questions.type_in(tx, spawn_id(1), 1, b"a", 5)
    spawns.forget(tx, [spawn_id(1)])
    assert not OPEN.all(tx) and not UNFED.all(tx, spawn=spawn_id(1), attempt=1)


def test_an_answer_is_settled_once_and_by_whom_it_was_given(tx: Tx) -> None:
    answers.keep(tx, Answered("op-1", spawn_id(1), THERE, spawn_id(2), "approve", "ann", 5))
    assert not answers.settle(tx, "op-1", HERE, {"accepted": True})
    assert answers.settle(tx, "op-1", THERE, {"accepted": False})
    assert not answers.settle(tx, "op-1", THERE, {"accepted": True})
    kept = answers.BY_OPERATION.one(tx, operation="op-1")
    assert kept is not None and kept.outcome == {"accepted": False}
    assert answers.purge(tx, 6) == 1

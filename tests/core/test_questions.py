"""Answers and outcomes as they cross links, and the hash that binds an approval to a request."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from relay.core.errors import PeerFault
from relay.core.questions import (
    MAX_ANSWER,
    Answer,
    Outcome,
    Reply,
    answer_from_content,
    outcome_from_content,
    request_hash,
)
from relay.core.spawning import SpawnRequest
from relay.core.wishes import Wishes
from tests.fuzz.specimens import ORIGIN, RECIPIENT, REQUEST

ANSWER = Answer(REQUEST.id, "b" * 16, Reply.APPROVE, "fine", "0" * 64, "ann")


def test_an_answer_comes_out_as_it_went_in() -> None:
    assert answer_from_content(ANSWER.to_content() | {"later": 1}) == ANSWER


BAD: list[dict[str, Any]] = [
    {"spawn": "../x"},
    {"request": "short"},
    {"request": None},
    {"verb": "start"},
    {"verb": 3},
    {"text": "x" * (MAX_ANSWER + 1)},
    {"text": b"x"},
    {"hash": "0" * 63},
    {"hash": "G" * 64},
    {"person": "x" * 129},
]


@pytest.mark.parametrize("change", BAD, ids=lambda change: next(iter(change)))
def test_a_malformed_answer_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PeerFault, match="refused"):
        answer_from_content(ANSWER.to_content() | change)


def test_an_outcome_comes_out_as_it_went_in() -> None:
    error = {"code": "answered", "message": "it was answered already", "why": "approved by vps", "hint": ""}
    for outcome in (Outcome("op-1", True, "done"), Outcome("op-1", False, "no", error)):
        assert outcome_from_content(outcome.to_content()) == outcome


@pytest.mark.parametrize("change", [{"answer": ""}, {"accepted": 1}, {"said": None}, {"error": {"code": "x"}}])
def test_a_malformed_outcome_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PeerFault, match="refused"):
        outcome_from_content(Outcome("op-1", True, "done").to_content() | change)


CHANGES: dict[str, Any] = {
    "task": "make install",
    "argv": ("make", "install"),
    "agent": "shell",
    "cwd": "/srv/other",
    "mode": "full",
    "model": "big",
    "timeout_s": 91.0,
    "labels": {"team": "other"},
    "chain": (),
    "wishes": Wishes(stdin=True),
}


def test_the_hash_is_of_all_that_decides_what_is_done() -> None:
    def of(request: SpawnRequest) -> str:
        return request_hash(ORIGIN, request)

    whole = of(REQUEST)
    changed = {of(dataclasses.replace(REQUEST, **{name: value})) for name, value in CHANGES.items()}
    assert len(changed | {whole, request_hash(RECIPIENT, REQUEST)}) == len(CHANGES) + 2
    # as it comes back from the store: a REAL, and labels in whatever order
    assert of(dataclasses.replace(REQUEST, timeout_s=90)) == whole

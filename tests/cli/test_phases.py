"""Phases and use in people's words."""

from __future__ import annotations

from typing import Any

import pytest

from relay.cli import phases


def _spawn(**seconds: float | None) -> Any:
    return {"durations": seconds, "result": None}


def test_phases_that_took_no_time_or_are_not_known_are_left_out() -> None:
    told = _spawn(queued_s=7_260.0, delivered_s=0.0, held_s=None, waiting_s=12.4, starting_s=0.01, running_s=3.21)
    assert phases.phases(told) == "queued 2 h, waited 12 s, ran 3.2 s"
    assert phases.phases({"result": None}) == "" == phases.phases(_spawn(queued_s=None))  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        ({}, ""),
        (
            {
                "input_tokens": 40,
                "cache_creation_input_tokens": 1_300,
                "cache_read_input_tokens": 11_000,
                "output_tokens": 890,
                "turns": 5,
                "cost_usd": 0.1234,
            },
            "12,340 tokens in (11,000 of them cached), 890 out, $0.12, 5 turns",
        ),
        ({"input_tokens": 3, "output_tokens": 1, "cost_usd": 4e-4, "turns": 1}, "3 tokens in, 1 out, $0.0004, 1 turn"),
        ({"cost_usd": 0}, "$0.00"),
        ({"credits": 2.5, "\x1b[2Jx": 1}, "credits 2.5, \\x1b[2Jx 1"),
        ({"input_tokens": "many", "nested": {"a": 1}, "flag": True}, ""),
    ],
)
def test_what_an_agent_used_is_told_as_far_as_it_says(usage: dict[str, Any], words: str) -> None:
    assert phases.usage(usage) == words


def test_both_are_facts_of_a_spawn() -> None:
    spawn = _spawn(running_s=2.0) | {"result": {"usage": {"cost_usd": 1.5}}}
    assert phases.lines(spawn) == [("phases", "ran 2.0 s"), ("used", "$1.50")]

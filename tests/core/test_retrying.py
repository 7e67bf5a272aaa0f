"""What is tried again, and after how long; and how reasons read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from relay.core import queue_words
from relay.core.errors import Code
from relay.core.moments import clock, pause
from relay.core.retrying import MOST_MS, RETRIED, may_retry, pause_ms
from relay.core.states import TERMINAL, TRANSITIONS, State

NOW = int(datetime(2026, 11, 28, 12, 0, tzinfo=UTC).timestamp() * 1000)


def test_only_listed_failures_are_tried_again() -> None:
    again = {(state, code) for state in TERMINAL for code in Code if may_retry(state, code)}
    assert again == {(state, code) for state, codes in RETRIED.items() for code in codes}
    for code in ("missing_binary", "not_executable", "bad_task", "no_directory", "agent_denied", "a_code_of_tomorrow"):
        assert not may_retry(State.FAILED, code)
    assert not may_retry(State.LOST, Code.TASK_LOST)


def test_what_may_be_tried_again_has_a_way_back_in_the_table() -> None:
    assert all(State.WAITING in TRANSITIONS[state] for state in (State.STARTING, State.RUNNING, State.NEEDS_INPUT))


@pytest.mark.parametrize(("retry", "least", "most"), [(1, 1_000, 2_000), (2, 2_000, 4_000), (5, 16_000, 32_000)])
def test_pauses_double_with_jitter(retry: int, least: int, most: int) -> None:
    assert pause_ms(retry, 0.0) == least
    assert least < pause_ms(retry, 0.999) < most


def test_pauses_have_an_end() -> None:
    assert pause_ms(100, 0.9999) <= MOST_MS


def test_moments_and_pauses_read_as_people_say_them() -> None:
    assert clock(NOW + 3_600_000, NOW) == "13:00 UTC"
    assert clock(NOW + 86_400_000 + 5_000, NOW) == "2026-11-29 12:00:05 UTC"
    assert [pause(ms) for ms in (-5, 40_000, 99_001, 300_000, 7_200_000, 172_800_000)] == [
        "0 s",
        "40 s",
        "2 min",
        "5 min",
        "2 h",
        "2 d",
    ]


def test_the_reasons() -> None:
    assert queue_words.after([("build", "running")]) == "after build (running)"
    assert queue_words.after([(str(n), "waiting") for n in range(5)]).endswith("2 (waiting) and 2 more")
    assert queue_words.not_before(NOW + 60_000, NOW) == "not before 12:01 UTC"
    assert queue_words.retry(2, 3, NOW + 40_000, NOW) == "retry 2 of 3 in 40 s (12:00:40 UTC)"
    assert queue_words.queue_paused("ann", NOW, NOW) == "the queue is paused by ann since 12:00 UTC"

"""What `--at` takes."""

from __future__ import annotations

import datetime
import time

import pytest

from relay.cli.moments import has_passed, moment, passed
from relay.core.errors import Code, Misuse

NOON = datetime.datetime(2026, 11, 28, 12, 0).timestamp()


def local(*when: int) -> int:
    return int(datetime.datetime(*when).timestamp() * 1000)  # type: ignore[arg-type]


def test_a_time_of_day_is_the_next_one() -> None:
    assert moment("22:00", NOON) == local(2026, 11, 28, 22)
    assert moment("9:30:15", NOON) == local(2026, 11, 29, 9, 30, 15)
    assert moment("12:00", NOON) == local(2026, 11, 29, 12)


@pytest.mark.parametrize(
    ("now", "typed", "then"),
    [
        ("2026-10-25T02:10+02:00", "02:30", "2026-10-25T02:30+02:00"),
        ("2026-10-25T02:40+02:00", "02:30", "2026-10-25T02:30+01:00"),
        ("2026-10-25T02:40+01:00", "02:30", "2026-10-26T02:30+01:00"),
        ("2026-10-25T01:00+02:00", "22:00", "2026-10-25T22:00+01:00"),
        ("2026-03-29T01:20+01:00", "02:30", "2026-03-29T03:30+02:00"),
        ("2026-03-28T23:00+01:00", "22:00", "2026-03-29T22:00+02:00"),
    ],
)
def test_a_time_of_day_is_the_next_one_when_clocks_are_changed(
    now: str, typed: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        found = moment(typed, datetime.datetime.fromisoformat(now).timestamp())
    time.tzset()
    assert found == datetime.datetime.fromisoformat(then).timestamp() * 1000


def test_a_duration_counts_from_now() -> None:
    assert moment("2h", NOON) == moment("+2h", NOON) == local(2026, 11, 28, 14)


def test_rfc_3339_is_what_it_says() -> None:
    assert moment("2027-01-31T22:00:00Z") == 1_801_432_800_000
    assert moment("2027-01-31T23:00:00+01:00") == 1_801_432_800_000


def test_what_has_just_passed_is_now_and_what_has_long_is_told_with_what_to_type() -> None:
    assert not has_passed(local(2026, 11, 28, 12), NOON + 59)
    assert has_passed(local(2026, 11, 28, 12), NOON + 61)
    error = passed("2026-11-28T09:30", local(2026, 11, 28, 9, 30))
    assert error.code is Code.BAD_TIME and "nothing was asked for" in error.why and "--at 09:30" in error.hint


@pytest.mark.parametrize(
    "wrong", ["", "25:00", "tomorrow", "12", "2h later", "9999-12-31T23:59:59-23:00x", "9999-12-31", "99999999d"]
)
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(Misuse) as refused:
        moment(wrong)
    assert refused.value.code is Code.BAD_TIME

"""When something runs again: periods, cron fields, and days on which clocks are changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from relay.core.errors import Code, Misuse
from relay.spawn.queue import moment_words
from relay.spawn.timetable import first_from, next_after, on_the_wall

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def at(*when: int, fold: int = 0) -> int:
    return int(datetime(*when, tzinfo=BERLIN, fold=fold).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_a_period_counts_from_its_anchor_however_late_it_is_asked() -> None:
    assert next_after("6h", 1_000, 1_000) == 1_000 + 21_600_000
    assert next_after("1h30m", 0, 5_399_999) == 5_400_000
    assert next_after("2s", 500, 500 + 7 * 2_000) == 500 + 8 * 2_000
    assert next_after("1d", 10_000, 0) == 10_000  # an anchor that is still to come is the first time


def test_cron_fields_are_this_machine_s_time(berlin: None) -> None:
    assert next_after("30 2 * * *", 0, at(2026, 7, 1, 12)) == at(2026, 7, 2, 2, 30)
    assert next_after("0 9 * * 1-5", 0, at(2026, 11, 28, 12)) == at(2026, 11, 30, 9)


def test_hours_begin_by_the_clock_on_the_wall_though_it_is_changed_before(berlin: None) -> None:
    hour = 3_600_000
    for day, begins in ((at(2026, 3, 28, 20), at(2026, 3, 29, 8)), (at(2026, 10, 24, 20), at(2026, 10, 25, 8))):
        assert on_the_wall(day, day + 12 * hour) == begins
    assert on_the_wall(at(2026, 7, 1), at(2026, 7, 1) + hour) == at(2026, 7, 1, 1)


def test_a_moment_is_said_as_clocks_will_show_it(berlin: None) -> None:
    assert moment_words(at(2026, 6, 1, 22), 0, 0, at(2026, 1, 1)) == "not before 2026-06-01 22:00 CEST"
    fewer = moment_words(at(2026, 6, 1, 22), 2, 0, at(2026, 6, 1, 21))  # an edit took the others away
    assert fewer.startswith("retry 2 of 2 in ")


def test_a_time_of_day_that_is_left_out_runs_an_hour_later(berlin: None) -> None:
    assert next_after("30 2 * * *", 0, at(2026, 3, 28, 12)) == at(2026, 3, 29, 3, 30)


def test_a_time_of_day_that_comes_twice_runs_once(berlin: None) -> None:
    first = next_after("30 2 * * *", 0, at(2026, 10, 24, 12))
    assert first == at(2026, 10, 25, 2, 30)
    assert next_after("30 2 * * *", 0, first) == at(2026, 10, 26, 2, 30)
    assert next_after("*/30 * * * *", 0, at(2026, 10, 25, 2, 30, fold=1)) == at(2026, 10, 25, 3, 0)


def test_what_runs_in_every_hour_runs_in_the_hour_that_comes_twice_too(berlin: None) -> None:
    moment, met = at(2026, 10, 25, 2, 10), []
    for _ in range(4):
        moment = next_after("*/30 * * * *", 0, moment)
        met.append(moment)
    twice = [at(2026, 10, 25, 2, 30), at(2026, 10, 25, 2, 0, fold=1), at(2026, 10, 25, 2, 30, fold=1)]
    assert met == [*twice, at(2026, 10, 25, 3, 0)]


def test_what_runs_in_every_hour_runs_once_in_the_hour_that_is_left_out(berlin: None) -> None:
    moment, met = at(2026, 3, 29, 1, 10), []
    for _ in range(3):
        moment = next_after("*/30 * * * *", 0, moment)
        met.append(moment)
    assert met == [at(2026, 3, 29, 1, 30), at(2026, 3, 29, 3, 0), at(2026, 3, 29, 3, 30)]


@pytest.mark.parametrize(
    ("every", "hour", "minutes"),
    [("30 */2 * * *", 4, [30]), ("*/20 2 * * *", 3, [0, 20, 40]), ("15,45 2,3 * * *", 3, [15, 45])],
)
def test_where_an_hour_is_left_out_all_of_it_runs_an_hour_later_and_nothing_earlier(
    berlin: None, every: str, hour: int, minutes: list[int]
) -> None:
    moment, met = at(2026, 3, 29, 0, 59), []
    while (moment := next_after(every, 0, moment)) < at(2026, 3, 29, hour + 1):
        met.append(moment)
    assert met[-len(minutes) :] == [at(2026, 3, 29, hour, minute) for minute in minutes]
    assert met[: -len(minutes)] == ([at(2026, 3, 29, 3, 30)] if hour == 4 else [])


def test_what_half_an_hour_that_is_left_out_puts_off_is_overtaken_by_what_is_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Australia/Lord_Howe")
        time.tzset()
        moment, met = int(datetime(2026, 10, 3, 15, 0, tzinfo=ZoneInfo("UTC")).timestamp() * 1000), []
        for _ in range(2):
            moment = next_after("20,40 2 * * *", 0, moment)
            met.append(time.strftime("%H:%M", time.localtime(moment / 1000)))
    time.tzset()
    assert met == ["02:40", "02:50"]


@pytest.mark.parametrize(
    "wrong",
    ["", "6", "0s", "400d", "* * * *", "* * * * * *", "61 * * * *", "0 0 31 2 *", "@daily", "x" * 300, "\0 * * * *"],
)
def test_what_never_comes_is_refused(wrong: str) -> None:
    with pytest.raises(Misuse) as refused:
        next_after(wrong, 0, 1_700_000_000_000)
    assert refused.value.code is Code.BAD_TIME and refused.value.why


def test_a_schedule_that_is_to_begin_later_begins_with_its_period_or_with_its_next_cron_time(berlin: None) -> None:
    now, later = at(2026, 11, 28, 12), at(2026, 12, 5, 12)
    assert first_from("6h", now, None, now) == now + 21_600_000
    assert first_from("6h", now, later, now) == later
    assert first_from("30 2 * * *", now, None, now) == at(2026, 11, 29, 2, 30)
    assert first_from("30 2 * * *", now, later, now) == at(2026, 12, 6, 2, 30)
    assert first_from("0 12 * * *", now, later, now) == later
    assert first_from("30 2 * * *", now, at(2026, 11, 27), now) == at(2026, 11, 27, 2, 30)  # missed meanwhile

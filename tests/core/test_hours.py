"""Hours and rates of a grant: what is read, when they hold, and what each field says by itself."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import ids
from relay.core.allowlist import NO_RATE, VERBS, Change, extended
from relay.core.errors import Code
from relay.core.grants import Asked, Denied, Grant, Granted, Waiting, judge, judge_chain
from relay.core.hours import DAY, DAYS, WEEK, minutes_until_open, rate_from_text, spans_of
from relay.core.weighing import weigh

NOW = 1_800_000_000_000
LAPTOP = ids.broker_id(b"\x01" * 32)
GRANT = Grant(LAPTOP, ("spawn", "attach"), ("claude",), ("/srv/app",), "edit", 2)
ASKED = Asked("spawn", "claude", "/srv/app", "/srv/app")
OFFICE = dataclasses.replace(GRANT, hours=("mon-fri 08:00-18:00",))


def at(day: str, hour: int, minute: int = 0) -> int:
    return DAYS.index(day) * DAY + hour * 60 + minute


@pytest.mark.parametrize(
    ("hours", "minute", "wait"),
    [
        ("08:00-18:00", at("sun", 8), 0),
        ("08:00-18:00", at("sun", 17, 59), 0),
        ("08:00-18:00", at("sun", 18), 14 * 60),
        ("mon-fri 08:00-18:00", at("fri", 18), 2 * DAY + 14 * 60),
        ("fri-mon 22:00-06:00", at("tue", 5, 59), 0),
        ("fri-mon 22:00-06:00", at("tue", 6), 3 * DAY + 16 * 60),
        ("sun 22:00-06:00", at("mon", 3), 0),
        ("sat 00:00-24:00", at("sat", 23, 59), 0),
        ("sat 00:00-24:00", at("sun", 0), 6 * DAY),
        ("00:00-00:00", at("wed", 12), 0),
    ],
)
def test_hours_hold_in_their_span_and_begin_after_it(hours: str, minute: int, wait: int) -> None:
    assert minutes_until_open((hours,), minute) == wait


@given(st.integers(0, WEEK - 1), st.integers(0, DAY - 1), st.integers(0, DAY - 1), st.sampled_from(DAYS))
def test_when_the_wait_is_over_the_hours_hold(minute: int, start: int, end: int, day: str) -> None:
    hours = (f"{day} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}",)
    wait = minutes_until_open(hours, minute)
    assert 0 <= wait < WEEK
    assert minutes_until_open(hours, (minute + wait) % WEEK) == 0
    if wait:
        assert minutes_until_open(hours, (minute + wait - 1) % WEEK) == 1


@pytest.mark.parametrize("text", ["", "8:00-18:00", "08:00", "mon 08:60-09:00", "25:00-26:00", "moo 08:00-09:00", "\n"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        spans_of(text)


@pytest.mark.parametrize("text", ["0/1h", "1/0s", "20", "20/h", "-1/1h", "10001/1h", "1/8d", "1/1h "])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        rate_from_text(text)


def test_out_of_hours_a_start_waits_for_them_and_all_but_looking_stopping_and_telling_is_refused() -> None:
    night, day = dataclasses.replace(ASKED, minute=at("mon", 3)), dataclasses.replace(ASKED, minute=at("mon", 9))
    found = judge(OFFICE, night, NOW + 1234, "laptop")
    assert isinstance(found, Waiting) and found.until == NOW + 5 * 3_600_000
    assert judge(OFFICE, day, NOW, "laptop") == Granted()
    allowed = dataclasses.replace(OFFICE, verbs=VERBS)
    for verb in VERBS:
        asked = Asked(verb, "claude", "/srv/app", "/srv/app", minute=at("mon", 3))
        refused = isinstance(judge(allowed, asked, NOW, "laptop"), Denied)
        assert refused is (verb not in ("spawn", "handoff", "view", "stop", "notify")), verb
    attach = judge(OFFICE, Asked("attach", minute=at("mon", 3)), NOW, "laptop")
    assert isinstance(attach, Denied) and attach.code is Code.OUT_OF_HOURS
    assert attach.hint == "relay trust allow laptop --hours any"


def test_the_hours_of_everybody_on_the_chain_count() -> None:
    night = dataclasses.replace(ASKED, minute=at("mon", 3), depth=1)
    asking = dataclasses.replace(OFFICE, ask=True)
    found = judge_chain(("laptop", GRANT), [("phone", asking)], night, NOW)
    assert isinstance(found, Waiting) and found.hold and found.until is not None


def test_beyond_its_rate_a_start_waits_until_the_rate_lets_it() -> None:
    rated = dataclasses.replace(GRANT, rate=rate_from_text("2/1m"))
    waits = judge(rated, dataclasses.replace(ASKED, next_start=NOW + 5), NOW, "laptop")
    assert isinstance(waits, Waiting) and waits.until == NOW + 5 and "2/1m" in waits.why
    assert judge(rated, dataclasses.replace(ASKED, next_start=NOW), NOW, "laptop") == Granted()


def test_a_change_sets_and_removes_rate_and_hours() -> None:
    rate = rate_from_text("5/1d")
    grown = extended(GRANT, Change(rate=rate, hours=("08:00-09:00",)))
    assert (grown.rate, grown.hours) == (rate, ("08:00-09:00",))
    assert extended(grown, Change(verbs=("view",))).rate == rate
    bare = extended(grown, Change(rate=NO_RATE, hours=()))
    assert (bare.rate, bare.hours) == (None, ())


def weighed(grant: Grant, asked: Asked) -> dict[str, str]:
    return {each.field: each.verdict for each in weigh(grant, asked, NOW, "laptop", str)}


def test_each_field_is_weighed_by_itself() -> None:
    grant = dataclasses.replace(OFFICE, ask=True, expires=NOW, mode="plan")
    asked = Asked("spawn", "shell", "/etc", "/etc", "edit", minute=at("sun", 3))
    assert weighed(grant, asked) == {
        "verbs": "yes",
        "agents": "no",
        "dirs": "no",
        "mode": "no",
        "max_parallel": "yes",
        "ask": "held",
        "expires": "no",
        "frozen": "yes",
        "rate": "yes",
        "hours": "waits",
    }
    assert weighed(grant, Asked("attach", minute=at("mon", 9))) == {
        "verbs": "yes",
        "expires": "no",
        "frozen": "yes",
        "hours": "yes",
    }


GRANTS = st.builds(
    Grant,
    st.just(LAPTOP),
    st.sets(st.sampled_from(VERBS)).map(tuple),
    st.sets(st.sampled_from(("claude", "shell", "*"))).map(tuple),
    st.sets(st.sampled_from(("/srv", "/srv/app", "new"))).map(tuple),
    st.sampled_from(("plan", "edit", "full")),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from((None, NOW, NOW + 1)),
    st.booleans(),
    st.sampled_from((None, rate_from_text("1/1h"))),
    st.sampled_from(((), ("mon 08:00-09:00",))),
)
ASKS = st.builds(
    Asked,
    st.sampled_from(VERBS),
    st.sampled_from(("claude", "shell")),
    st.sampled_from(("/srv/app", "/etc")),
    st.just("/srv/app"),
    st.sampled_from(("plan", "edit", "full")),
    running=st.integers(0, 3),
    minute=st.sampled_from((at("mon", 8), at("tue", 8))),
    next_start=st.sampled_from((None, NOW + 1)),
)


@given(GRANTS, ASKS)
def test_a_request_passes_exactly_where_every_field_says_yes(grant: Grant, asked: Asked) -> None:
    verdicts = set(weighed(grant, asked).values())
    found = judge(grant, asked, NOW, "laptop")
    if isinstance(found, Denied):
        assert "no" in verdicts
    else:
        assert "no" not in verdicts
        assert isinstance(found, Waiting) is ("waits" in verdicts)
        assert found.hold is ("held" in verdicts)

"""What crosses links about a spawn is checked field by field."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.field_checks import MAX_MOMENT, MAX_TIMEOUT_S
from relay.core.spawning import (
    MAX_ARGV,
    MAX_CHAIN,
    MAX_LABELS,
    MAX_SNAPSHOT,
    MAX_TASK,
    Snapshot,
    SpawnRequest,
    first_bad_field,
    is_broker_id,
    request_from_content,
    snapshot_from_bytes,
)
from relay.core.states import State
from relay.core.wire import pack, unpack

BROKER = ids.broker_id(bytes(32))
REQUEST = SpawnRequest(
    "a" * 16,
    "build",
    "claude",
    "fix the tests",
    1_800_000_000_000,
    1_800_000_600_000,
    ("make", "test"),
    "/srv/app",
    "plan",
    "opus",
    90.5,
    {"team": "core"},
    "ann",
    (BROKER,),
)
SNAPSHOT = Snapshot(
    "a" * 16,
    BROKER,
    2,
    7,
    State.FAILED,
    1_800_000_000_000,
    1_799_999_999_000,
    "exit status 7",
    "/srv/app",
    1,
    2,
    7,
    None,
    {"status": "failed", "outcome": "error", "summary": "exit status 7", "output_tail": "", "usage": {"cost": 0.5}},
    {"code": "exit_nonzero", "message": "it failed", "why": None},
    {"request": "a" * 16, "text": "may I?"},
)
CONTENT: dict[str, Any] = unpack(pack(REQUEST.to_content()), 10**6)
WORD: dict[str, Any] = unpack(SNAPSHOT.to_bytes(), MAX_SNAPSHOT)
LONE = "\ud800"  # half of a surrogate pair: text in Python and JSON, not in UTF-8
NOTHING = object()

RESULT: dict[str, Any] = WORD["result"]
ODD: list[dict[Any, Any]] = [
    {"summary": 5},
    {"output_tail": b"bytes"},
    {"session": {}},
    {"usage": []},
    {"usage": {"cost": float("nan")}},
    {"usage": {"cost": [float("inf")]}},
    {"more": b""},
    {"model": 5},
    {"notes": "x"},
    {"notes": [5]},
    {"output_before_bytes": -1},
]

# a person is shown these, and types the first of them
ODD_NEEDS: list[dict[str, Any]] = [
    {"request": "x;reboot"},
    {"request": None},
    {"kind": "\x1b[2J"},
    {"kind": []},
    {"hash": "\x1b[2J"},
    {"tool": 5},
]

WRONG_REQUEST: dict[str, list[Any]] = {
    "spawn": [None, "", "A" * 16, "a" * 15, "../../../../etc/x", 5, ["a" * 16]],
    "name": [None, "", "Big", "a" * 65, "a b", 5],
    "agent": [None, "", "../agent", "a\0", 5],
    "task": [None, 5, b"bytes", "a\0b", "x" * (MAX_TASK + 1), "é" * (MAX_TASK // 2 + 1), LONE, ["x"]],
    "created": [None, -1, MAX_MOMENT + 1, 1.5, True, "1"],
    "expires": [None, -1, MAX_MOMENT + 1, 1.5, True, "1"],
    "argv": [None, "words", [5], ["a\0"], ["a"] * (MAX_ARGV + 1), [LONE], [b"a"], {"a": "b"}],
    "cwd": [5, "a\0", "x" * 4097, LONE, ["/"]],
    "mode": [None, "", "root", 5, ["plan"], {}],
    "model": [5, "x" * 129, "a\0", LONE],
    "timeout_s": [0, -1, MAX_TIMEOUT_S + 1, True, "5", float("nan"), float("inf")],
    "labels": [
        None,
        [],
        {"a": 5},
        {"a": "x" * 257},
        {str(n): "" for n in range(MAX_LABELS + 1)},
        {"a": LONE},
        {LONE: "a"},
    ],
    "requested_by": [None, 5, "x" * 129, LONE],
    "chain": [None, "x", [5], ["laptop"], [BROKER.upper()], [BROKER] * (MAX_CHAIN + 1)],
}
WRONG_SNAPSHOT: dict[str, list[Any]] = {
    "spawn": [None, "", "A" * 16, 5],
    "target": [None, "", "laptop", BROKER.upper(), ids.grouped(BROKER), 5],
    "attempt": [None, -1, 1.0, True, 2**53],
    "seq": [None, -1, 1.0, True, 2**53],
    "state": [None, "", "done", 5, ["failed"], {"failed": 1}],
    "at": [None, -1, "now", True, MAX_MOMENT + 1],
    "since": [None, -1, "now", True, MAX_MOMENT + 1],
    "reason": [None, 5, "x" * 4097],
    "cwd": [5, "x" * 4097],
    "started": [-1, "x", True, MAX_MOMENT + 1],
    "ended": [-1, "x", True, MAX_MOMENT + 1],
    "exit_code": ["0", 1024, -1024, True, 1.0],
    "signal": [0, 128, "9", True],
    "result": [5, [], "x", {}, *({**RESULT, **odd} for odd in ODD)],
    "error": [5, [], "x", {}, {"code": "x"}, {"code": "x", "message": ["x"]}, {"code": "x", "message": "x", "hint": 5}],
    "needs": [5, [], "x", {}, {"text": 5}, *({"text": "x", **odd} for odd in ODD_NEEDS)],
}


def pairs(wrong: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(key, value) for key, values in wrong.items() for value in [NOTHING, *values]]


def with_wrong(content: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    rest = {name: kept for name, kept in content.items() if name != key}
    return rest if value is NOTHING else rest | {key: value}


def test_the_tables_above_have_every_field() -> None:
    assert set(WRONG_REQUEST) == set(CONTENT)
    assert set(WRONG_SNAPSHOT) == set(WORD) == {
        field.name for field in dataclasses.fields(Snapshot) if field.name != "tried"
    }


TRIED = {"n": 1, "asked": "", "outcome": {"state": "failed", "reason": "exit 7", "exit_code": 7, "error": None}}


def test_how_an_earlier_attempt_ended_crosses_and_is_left_out_where_there_is_none() -> None:
    word = dataclasses.replace(SNAPSHOT, state=State.WAITING, tried=TRIED)
    assert snapshot_from_bytes(word.to_bytes()) == word
    assert b"tried" not in SNAPSHOT.to_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        {},
        TRIED | {"n": -1},
        TRIED | {"asked": None},
        TRIED | {"outcome": None},
        TRIED | {"outcome": {"state": "finished", "reason": ""}},
        TRIED | {"outcome": {"state": "failed", "reason": "", "ended": "soon"}},
        TRIED | {"outcome": {"state": "failed", "reason": "", "exit_code": b"7"}},
    ],
)
def test_an_earlier_attempt_of_another_form_is_refused(wrong: Any) -> None:
    with pytest.raises(PeerFault):
        snapshot_from_bytes(pack(WORD | {"tried": wrong}))


def test_a_request_is_read_as_it_was_sent() -> None:
    assert first_bad_field(CONTENT) is None
    assert request_from_content(CONTENT) == REQUEST
    assert request_from_content(CONTENT | {"colour": "red"}) == REQUEST


def test_what_may_be_left_open() -> None:
    bare = SpawnRequest("b" * 16, "b", "shell", "", 0, 0)
    assert request_from_content(unpack(pack(bare.to_content()), 10**6)) == bare


@pytest.mark.parametrize(
    ("key", "value"), pairs(WRONG_REQUEST), ids=lambda value: str(value)[:20].encode("unicode_escape").decode()
)
def test_a_wrong_field_of_a_request(key: str, value: object) -> None:
    content = with_wrong(CONTENT, key, value)
    assert first_bad_field(content) == key
    with pytest.raises(PeerFault) as caught:
        request_from_content(content)
    assert caught.value.code is Code.BAD_ENVELOPE and key in caught.value.why


def test_bounds_are_within() -> None:
    edge = {
        "task": "é" * (MAX_TASK // 2),
        "argv": ["a"] * MAX_ARGV,
        "labels": {str(n): "x" * 256 for n in range(MAX_LABELS)},
        "timeout_s": MAX_TIMEOUT_S,
        "chain": [BROKER] * MAX_CHAIN,
        "expires": MAX_MOMENT,
    }
    assert first_bad_field(CONTENT | edge) is None


def test_a_snapshot_is_read_as_it_was_signed() -> None:
    assert snapshot_from_bytes(SNAPSHOT.to_bytes()) == SNAPSHOT
    assert snapshot_from_bytes(pack(WORD | {"colour": "red"})) == SNAPSHOT
    bare = Snapshot("b" * 16, BROKER, 0, 1, State.WAITING, 0, 0)
    assert snapshot_from_bytes(bare.to_bytes()) == bare


@pytest.mark.parametrize(("key", "value"), pairs(WRONG_SNAPSHOT), ids=lambda value: str(value)[:20])
def test_a_wrong_field_of_a_snapshot(key: str, value: object) -> None:
    with pytest.raises(PeerFault) as caught:
        snapshot_from_bytes(pack(with_wrong(WORD, key, value)))
    assert caught.value.code is Code.BAD_ENVELOPE and key in caught.value.why


@pytest.mark.parametrize("data", [b"", b"\xc1", pack(None), pack([1]), pack({}), bytes(MAX_SNAPSHOT + 1)])
def test_what_is_no_snapshot(data: bytes) -> None:
    with pytest.raises(PeerFault):
        snapshot_from_bytes(data)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CONTENT)), VALUES))
def test_only_a_peer_fault_escapes_a_request(changes: dict[str, object]) -> None:
    try:
        request_from_content(CONTENT | changes)
    except PeerFault:
        pass


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(WORD)), VALUES))
def test_only_a_peer_fault_escapes_a_snapshot(changes: dict[str, object]) -> None:
    try:
        snapshot_from_bytes(pack(WORD | changes))
    except PeerFault:
        pass


@pytest.mark.parametrize(("earlier", "later"), [((0, 1), (0, 2)), ((1, 9), (2, 1)), ((1, 1), (1, 2))])
def test_the_later_word_is_the_greater(earlier: tuple[int, int], later: tuple[int, int]) -> None:
    one, other = (dataclasses.replace(SNAPSHOT, attempt=attempt, seq=seq) for attempt, seq in (earlier, later))
    assert one.order < other.order


def test_a_broker_id_in_its_plain_form_only() -> None:
    assert is_broker_id(BROKER)
    assert not any(map(is_broker_id, (BROKER.upper(), ids.grouped(BROKER), BROKER[:-1], None, 5, b"x", [BROKER])))


def test_by_another_clock_what_is_asked_and_the_attempt_before_are_earlier_too() -> None:
    outcome = {"state": "failed", "reason": "", "exit_code": 3, "started": 7_000, "ended": 8_000}
    tried = {"n": 1, "asked": "", "outcome": outcome}
    needs = {"kind": "held", "asked": 8_000, "expires": None}
    word = dataclasses.replace(SNAPSHOT, at=9_000, since=9_000, tried=tried, needs=needs)
    shown = word.earlier(6_000)
    assert (shown.at, shown.tried) == (3_000, tried | {"outcome": outcome | {"started": 1_000, "ended": 2_000}})
    assert shown.needs == needs | {"asked": 2_000}
    assert word.earlier(0) is word

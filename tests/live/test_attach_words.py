"""What another machine says to who attaches has one form; what it says beside that is nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from relay.broker.control.live import _as_bytes, packed
from relay.core.attach_words import in_form
from relay.core.errors import PeerFault

SEAT = {"terminal": True, "input": True, "drives": False, "driver": None}
HELLO = {"k": "hello", **SEAT, "state": "running", "reason": ""}
OUT = {"k": "out", "data": b"x", "next": 3, "stream": 0}
THERE = {"host": "127.0.0.1", "port": 4711, "pin": "a" * 64, "secret": "0" * 64}
OFFER: dict[str, Any] = {"k": "direct", **THERE, "start": 0, "types": True}
TYPED, SHOW = {"k": "typed", "n": 1, "taken": False}, {"k": "show", "next": 7}
OTHERS: list[dict[Any, Any]] = [
    {},
    {"k": None},
    {"k": ["out"]},
    {"k": "paint"},
    {"k": "out"},
    OUT | {"data": "text"},
    OUT | {"data": 1 << 40},
    OUT | {"data": bytes((1 << 20) + 1)},
    OUT | {"next": True},
    OUT | {"next": -1},
    OUT | {"next": 1 << 60},
    OUT | {"typed": "1"},
    HELLO | {"terminal": 1},
    HELLO | {"driver": 5},
    HELLO | {"state": b"running"},
    {"k": "typed", "n": 1},
    {"k": "driver"},
    {"k": "show"},
    {"k": "direct"},
    {"k": "direct", "port": 4711},
    OFFER | {"port": 0},
    OFFER | {"port": 1 << 16},
    OFFER | {"pin": "g" * 64},
    OFFER | {"secret": "a" * 63},
    OFFER | {"start": -1},
    OFFER | {"host": b"127.0.0.1"},
]


@pytest.mark.parametrize("message", [HELLO, OUT, OUT | {"typed": 7}, TYPED, OFFER, {"k": "direct_over"}, SHOW])
def test_what_is_known_is_told_and_what_stands_beside_it_is_not(message: dict[str, Any]) -> None:
    assert in_form(message) == message
    assert in_form(message | {"more": float("nan"), "less": b"x"}) == message


@pytest.mark.parametrize("message", OTHERS)
def test_another_form_is_an_error_and_no_trace(message: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        packed(message)


@pytest.mark.parametrize("data", [1 << 40, "text", None, [1]])
def test_a_port_carries_bytes_and_no_number_of_them(data: object) -> None:
    with pytest.raises(PeerFault):
        _as_bytes({"k": "data", "data": data})
    assert _as_bytes({"k": "eof"}) == bytes(4)

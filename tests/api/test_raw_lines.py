"""The documents of a stream: raw lines with bytes as they were, or lines, by what the answer says it is."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.api.http1 import MAX_LINE, BadAnswer, Response
from relay.api.raw_lines import MEDIA_TYPE, RawLines, as_bytes, cutter
from relay.api.routes import log

OUTPUTS = st.lists(st.none() | st.binary(max_size=200), max_size=8)


def _stream(outputs: list[bytes | None]) -> tuple[bytes, list[dict[str, Any]]]:
    """Raw lines of these outputs, a line without bytes for each None, and the documents of both."""
    raw, documents = b"", []
    for n, output in enumerate(outputs):
        head: dict[str, Any] = {"next": n, "stream": "note" if output is None else "out"}
        size = {} if output is None else {"bytes": len(output)}
        raw += json.dumps(head | size).encode() + b"\n" + (output or b"")
        documents.append(head if output is None else head | {"data": output})
    return raw, documents


@given(OUTPUTS, st.lists(st.integers(0, 3000), max_size=12))
def test_a_stream_is_the_same_however_it_is_cut(outputs: list[bytes | None], cuts: list[int]) -> None:
    raw, documents = _stream(outputs)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    cutting = RawLines()
    found = [each for start, end in pairwise(places) for each in cutting.feed(raw[start:end])]
    assert found == documents


def test_what_has_not_all_come_is_not_given_out() -> None:
    raw, documents = _stream([b"first", b"second"])
    cutting = RawLines()
    assert cutting.feed(raw[:-1]) == documents[:1]
    assert cutting.feed(raw[-1:]) == documents[1:]


@pytest.mark.parametrize("head", [b"[]", b"no json", b"\xff", b'{"bytes": -1}', b'{"bytes": true}', b'{"bytes": "5"}'])
def test_a_head_of_another_form_is_refused(head: bytes) -> None:
    with pytest.raises(BadAnswer):
        RawLines().feed(head + b"\n")


def test_nothing_is_waited_for_without_end() -> None:
    with pytest.raises(BadAnswer):
        RawLines().feed(b'{"bytes": %d}\n' % (MAX_LINE + 1))
    with pytest.raises(BadAnswer):
        RawLines().feed(b"x" * (MAX_LINE + 1))


@given(st.binary(max_size=300))
def test_nothing_but_a_bad_answer_escapes(raw: bytes) -> None:
    try:
        RawLines().feed(raw)
    except BadAnswer:
        pass


def _answer(media_type: str) -> Response:
    response = Response()
    response.feed(f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n\r\n".encode())
    return response


def test_the_answer_says_what_it_is() -> None:
    """A broker of an earlier version answers with lines, whatever it was asked for."""
    assert as_bytes(log("a" * 8, follow=True, tail=3)).path.endswith("/log?follow=1&tail=3&bytes=1")
    raw, line = b'{"bytes": 2}\nab', b'{"data": "ab"}\n'
    assert cutter(_answer(f"{MEDIA_TYPE.upper()}; charset=utf-8"))(raw) == [{"data": b"ab"}]
    assert cutter(_answer("application/x-ndjson"))(line) == [{"data": "ab"}]

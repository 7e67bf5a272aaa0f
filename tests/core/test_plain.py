"""Text without what steers a terminal, however it is cut."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.plain import Plain

PIECES = [b"\x1b[31m", b"\x1b[0m", b"\x1b]0;title\x07", b"\x1b]8;;x\x1b\\", b"\x1b(B", b"\x1bc", b"\x1b", b"\x1b["]
PIECES += [b"\x1bP", b"text", "né€😀".encode(), b"\r\n", b"\r", b"\n", b"\t", b"\x08", b"\x7f", b"\x00"]
PIECES += [b"\xc2", b"\xc2\xa0", b"\xc2\x9b1m", b"\xc2\x90", b"\x9b"]
STREAMS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40).map(b"".join)
STEERS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")


def stripped(*pieces: bytes) -> bytes:
    plain = Plain()
    return b"".join(map(plain.feed, pieces)) + plain.end()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[1;31mred\x1b[0m\r\n", b"red\n"),
        (b"\x1b]0;a title\x07shown", b"shown"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", b"link"),
        (b"\x1bPq#0;2\x1b\\after", b"after"),
        (b"\x1b(B\x1b)0a\x1b=b\x1b7c", b"abc"),
        (b"10%\r20%\r\n", b"10%\n20%\n"),
        (b"10%\r", b"10%\n"),
        (b"\x1b]never ended\nnext line", b"\nnext line"),
        ("né\u00a0€😀".encode(), "né\u00a0€😀".encode()),
        (b"a\x08b\x00c\x7f\x07d", b"abcd"),
        (b"\xc2\x9b31mred\xc2\x85", b"red"),
        (b"\x1b\x1b[31mred", b"red"),
        (b"\x1b[31\xc3\xa9", b"\xc3\xa9"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"tab\tand\nline", b"tab\tand\nline"),
    ],
)
def test_what_is_shown(data: bytes, text: bytes) -> None:
    assert stripped(data) == text


@settings(deadline=None, max_examples=300)
@given(STREAMS, st.randoms(use_true_random=False))
def test_it_does_not_matter_how_it_is_cut(data: bytes, chance: random.Random) -> None:
    whole = stripped(data)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(5))
    assert stripped(*(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))) == whole
    assert stripped(*(data[n : n + 1] for n in range(len(data)))) == whole
    assert not STEERS.search(whole)
    assert stripped(whole) == whole


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_stays_as_it_is(text: str) -> None:
    assert stripped(text.encode()) == text.encode()

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
PIECES += ["\u202e".encode(), "\u2066".encode(), "\u2028".encode(), "\u061c".encode(), "\U000e0041".encode()]
PIECES += [b"\xe2", b"\xe2\x80", b"\x80\xae", b"\xae", b"\xf3\xa0", b"\xd8"]
PIECES += [b"\xc2", b"\xc2\xa0", b"\xc2\x9b1m", b"\xc2\x90", b"\x9b"]
STREAMS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40).map(b"".join)
STEERS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
UNSEEN = "[\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"


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
        ("rm -rf \u202e\u2066// tset\u2069\u2066 build".encode(), b"rm -rf // tset build"),
        ("a\u2028b\u2029c".encode(), b"a\nb\nc"),
        ("\ufeffhid\u200bden\u2060\U000e0041\u061c".encode(), b"hidden"),
        ("\U0001f469\u200d\U0001f4bb \u0646\u0645\u06cc\u200c\u062f".encode(),) * 2,
        (b"\xe2\xe2\x80\xae\x80\xae\x1b[mx", b"\xe2x"),
        (b"\xe2\x1b[m\x80\xaex", b"x"),
        (b"a\xe2", b"a\xe2"),
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
    assert not re.search(UNSEEN, whole.decode("utf-8", "surrogateescape"))
    assert stripped(whole) == whole


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_stays_as_it_is(text: str) -> None:
    seen = re.sub(UNSEEN, lambda found: "\n" if found[0] in "\u2028\u2029" else "", text)
    assert stripped(text.encode()) == seen.encode()

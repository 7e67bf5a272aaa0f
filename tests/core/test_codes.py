"""Codes that are read out, and words that are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import codes, ids
from relay.core.code_words import WORDS
from relay.core.codes import InviteCode, Offer, Opening
from relay.core.errors import Code, Misuse, PeerFault

CODE = InviteCode(7, ("crater", "lantern", "velvet"))


def test_words_are_told_apart_by_their_first_four_letters() -> None:
    assert len(WORDS) == len({word[:4] for word in WORDS}) == 512
    assert all(word.isascii() and word.isalpha() and word.islower() and len(word) >= 4 for word in WORDS)
    assert codes.ENTROPY_BITS >= 24


@given(st.integers(1, 9_999), st.binary(min_size=codes.RANDOM_BYTES, max_size=codes.RANDOM_BYTES))
def test_what_is_printed_is_what_is_read(number: int, random: bytes) -> None:
    code = codes.make_code(number, random)
    text = codes.format_code(code)
    assert codes.looks_like_code(text)
    assert codes.parse_code(text) == code
    assert codes.parse_code(f"  {text.upper().replace('-', ' ')} ") == code


def test_each_word_is_as_likely_as_any_other() -> None:
    seen: dict[str, int] = {}
    for pair in range(65_536):
        word = codes.make_code(1, pair.to_bytes(2, "big") * 3).words[0]
        seen[word] = seen.get(word, 0) + 1
    assert set(seen.values()) == {128}
    assert len(seen) == 512


def test_a_word_may_be_cut_to_what_tells_it_apart() -> None:
    assert codes.parse_code("7 crat lante velv") == CODE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("7-crater-lantrn-velvet", "did you mean lantern"),
        ("7-crater-lantern", "a number and 3 words"),
        ("crater-lantern-velvet", "a number and 3 words"),
        ("0-crater-lantern-velvet", "a number and 3 words"),
        ("7-crater-lantern-velvet-crater", "a number and 3 words"),
        ("7-crater-xxxxxxxx-velvet", "is no word of codes"),
        ("7-cra-lantern-velvet", "is no word of codes"),
        ("", "a number and 3 words"),
        ("7" * 10_000, "a number and 3 words"),
    ],
)
def test_a_slip_is_told_here_where_it_costs_nothing(text: str, why: str) -> None:
    with pytest.raises(Misuse) as raised:
        codes.parse_code(text)
    assert raised.value.code is Code.BAD_INVITE
    assert why in raised.value.why


def test_a_link_is_no_code() -> None:
    assert not codes.looks_like_code("relay://join/abc")
    assert not codes.looks_like_code("")


def test_a_code_does_not_print_its_words() -> None:
    assert "crater" not in repr(CODE)
    assert "crater" not in str(CODE)


def test_the_words_to_compare_are_those_of_both_and_of_the_workspace() -> None:
    one, other = ids.broker_id(bytes([1] * 32)), ids.broker_id(bytes([2] * 32))
    words = codes.compared_words(b"w", one, other)
    assert len(words.split()) == codes.COMPARED_WORDS
    assert words == codes.compared_words(b"w", one, other)
    assert len({words, codes.compared_words(b"w", other, one), codes.compared_words(b"x", one, other)}) == 3


def test_messages_survive_the_wire() -> None:
    opening = Opening(7, bytes([1] * 32), bytes([2] * 32), bytes(codes.SPAKE_BYTES))
    raw = codes.pack_opening(opening)
    assert codes.is_opening(raw)
    assert codes.unpack_opening(raw) == opening
    offer = Offer(b"id", "work", "member")
    assert codes.unpack_offer(codes.pack_offer(offer, bytes(codes.SPAKE_BYTES))) == (offer, bytes(codes.SPAKE_BYTES))
    assert codes.unpack_welcome(codes.pack_welcome(bytes(32), b"answer"), 100) == (bytes(32), b"answer")


@given(st.binary(max_size=700))
def test_noise_is_refused(raw: bytes) -> None:
    codes.is_opening(raw)
    for unpack in (codes.unpack_opening, codes.unpack_offer, lambda data: codes.unpack_welcome(data, 100)):
        with pytest.raises(PeerFault):
            unpack(raw)


@pytest.mark.parametrize(
    "changed",
    [
        ["code", 0, bytes(32), bytes(32), bytes(33)],
        ["code", 10_000, bytes(32), bytes(32), bytes(33)],
        ["code", True, bytes(32), bytes(32), bytes(33)],
        ["code", 7, bytes(31), bytes(32), bytes(33)],
        ["code", 7, bytes(32), bytes(32), bytes(34)],
        ["code", 7, bytes(32), bytes(32)],
        ["kode", 7, bytes(32), bytes(32), bytes(33)],
    ],
)
def test_an_opening_of_another_form_is_refused(changed: list[object]) -> None:
    from relay.core.wire import pack

    with pytest.raises(PeerFault):
        codes.unpack_opening(pack(changed))

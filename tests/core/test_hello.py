import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, PeerFault
from relay.core.hello import (
    MAX_ADDRESSES,
    AuditHead,
    Binding,
    Hello,
    Incarnation,
    Judgement,
    Role,
    common_version,
    is_address,
    is_behind,
    judge_incarnation,
    pack_hello,
    unpack_hello,
)
from relay.core.wire import pack, unpack

HELLO = Hello(
    versions=(1, 2),
    public=b"\x01" * 32,
    name="laptop",
    role=Role.HOLDER,
    incarnation=4,
    nonce=b"\x02" * 16,
    roster_head=b"\x03" * 32,
    audit_head=AuditHead(9, b"\x04" * 32),
    binding=b"\x05" * 32,
    seen_of_you=2,
    addresses=("vps.example:7411",),
    clock_ms=1_800_000_000_000,
)
CONTENT: dict[str, Any] = unpack(pack_hello(HELLO), 8192)


def test_a_hello_is_read_as_it_was_packed() -> None:
    assert unpack_hello(pack_hello(HELLO)) == HELLO


def test_a_key_of_a_later_version_is_ignored() -> None:
    assert unpack_hello(pack(CONTENT | {"colour": "red"})) == HELLO


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_every_field_must_be_there(name: str) -> None:
    with pytest.raises(PeerFault, match="hello") as caught:
        unpack_hello(pack({key: value for key, value in CONTENT.items() if key != name}))
    assert name in caught.value.why


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("versions", []),
        ("versions", [True]),
        ("versions", list(range(17))),
        ("public", b"\x01" * 31),
        ("name", "UPPER"),
        ("role", "king"),
        ("role", ["member"]),
        ("incarnation", -1),
        ("incarnation", 2**60),
        ("incarnation", True),
        ("nonce", "x" * 16),
        ("audit_head", [1]),
        ("audit_head", [1, b""]),
        ("addresses", ["a:1"] * (MAX_ADDRESSES + 1)),
        ("addresses", ["nowhere"]),
        ("clock_ms", 1.5),
    ],
)
def test_a_wrong_field_is_refused(name: str, value: object) -> None:
    with pytest.raises(PeerFault) as caught:
        unpack_hello(pack(CONTENT | {name: value}))
    assert caught.value.code is Code.BAD_HELLO


VALUES = st.none() | st.integers(0, 2**64 - 1) | st.binary(max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CONTENT)), VALUES))
def test_only_a_peer_fault_escapes(changes: dict[str, object]) -> None:
    try:
        unpack_hello(pack(CONTENT | changes))
    except PeerFault as fault:
        assert fault.code is Code.BAD_HELLO


NONCE, OTHER = b"\x01" * 16, b"\x02" * 16


@pytest.mark.parametrize(
    ("seen", "new", "judgement"),
    [
        (None, Incarnation(1, NONCE), Judgement.NEWER),
        (Incarnation(3, NONCE), Incarnation(4, OTHER), Judgement.NEWER),
        (Incarnation(3, NONCE), Incarnation(3, NONCE), Judgement.SAME),
        (Incarnation(3, NONCE), Incarnation(3, OTHER), Judgement.CLONED),
        (Incarnation(3, NONCE), Incarnation(2, NONCE), Judgement.CLONED),
        (Incarnation(3, NONCE), Incarnation(2, OTHER), Judgement.CLONED),
    ],
)
def test_incarnations(seen: Incarnation | None, new: Incarnation, judgement: Judgement) -> None:
    assert judge_incarnation(seen, new) is judgement


def test_a_broker_that_others_have_seen_further_is_behind() -> None:
    own, other = Incarnation(5, b"a" * 16), b"b" * 16
    unnamed = [is_behind(own, Incarnation(seen, b"")) for seen in (0, 5, 6)]
    assert unnamed == [False, False, True]
    assert [is_behind(own, Incarnation(seen, own.nonce)) for seen in (4, 5, 6)] == [False, False, True]
    others = [is_behind(own, Incarnation(seen, other)) for seen in (4, 5, 6)]
    assert others == [False, True, True], "another start of that number"


def test_the_highest_common_version_counts() -> None:
    assert common_version((1, 2, 3), (2, 1)) == 2
    with pytest.raises(PeerFault):
        common_version((1,), (2,))


def test_the_binding_depends_on_both_keys_and_who_dialled() -> None:
    one = Binding(b"\x01" * 32, b"\x02" * 32)
    others = [Binding(b"\x02" * 32, b"\x01" * 32), dataclasses.replace(one, listener=b"\x03" * 32)]
    assert len({one.digest, *(other.digest for other in others)}) == 3


@pytest.mark.parametrize("text", ["a:1", "10.0.0.1:7411", "[::1]:65535", "my-mini.local:80", "vps:7411"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a b:1",
        "a:1\n",
        "-o:1",
        "::1:5",
        "[x]:1",
        "a/b:1",
        5,
        None,
        "a" * 300 + ":1",
    ],
)
def test_what_is_no_address(text: object) -> None:
    assert not is_address(text)

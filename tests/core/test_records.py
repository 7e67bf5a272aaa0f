import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.records import (
    MAX_AGENTS,
    MAX_LIFE_MS,
    MAX_LINKED,
    MAX_RECORD,
    MAX_SKEW_MS,
    Record,
    Verdict,
    fitting,
    judge,
    owner_of,
    pack_record,
    unpack_record,
)
from relay.core.wire import pack, unpack

NOW = 1_800_000_000_000
PEERS = tuple(sorted(ids.broker_id(bytes([at]) * 32) for at in range(MAX_LINKED)))
RECORD = Record(
    public=b"\x01" * 32,
    sealing_public=b"\x02" * 32,
    incarnation=4,
    seq=7,
    created=NOW,
    expires=NOW + MAX_LIFE_MS,
    addresses=("vps.example:7411", "[fd7a::1]:7411"),
    always_on=True,
    capabilities=("docker", "ios_build"),
    agents=("claude", "shell"),
    version="0.1.0",
    linked=PEERS[:3],
)
CONTENT: dict[str, Any] = unpack(pack_record(RECORD), MAX_RECORD)


def refused(content: Any) -> PeerFault:
    with pytest.raises(PeerFault, match="peer record") as caught:
        unpack_record(content if isinstance(content, bytes) else pack(content))
    assert caught.value.code is Code.BAD_RECORD
    return caught.value


def test_a_record_is_read_as_it_was_packed() -> None:
    assert unpack_record(pack_record(RECORD)) == RECORD
    assert owner_of(pack_record(RECORD)) == RECORD.id


def test_a_key_of_a_later_version_is_ignored() -> None:
    assert unpack_record(pack(CONTENT | {"colour": "red"})) == RECORD


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_every_field_must_be_there(name: str) -> None:
    assert name in refused({key: value for key, value in CONTENT.items() if key != name}).why


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public", b"\x01" * 31),
        ("sealing_public", "x" * 32),
        ("incarnation", -1),
        ("seq", True),
        ("created", 2**60),
        ("expires", NOW),
        ("expires", NOW + MAX_LIFE_MS + 1),
        ("addresses", ["a:1"] * 17),
        ("addresses", ["nowhere"]),
        ("always_on", 1),
        ("capabilities", ["two words"]),
        ("capabilities", ["docker", "docker"]),
        ("agents", [f"agent-{at}" for at in range(MAX_AGENTS + 1)]),
        ("agents", "claude"),
        ("version", "x" * 65),
        ("version", "0.1\n"),
        ("linked", [b"short"]),
        ("linked", [b"\x01" * 32] * 2),
        ("linked", [bytes([at]) * 32 for at in range(MAX_LINKED + 1)]),
    ],
)
def test_a_wrong_field_is_refused(name: str, value: object) -> None:
    refused(CONTENT | {name: value})


def test_other_bytes_of_the_same_meaning_are_refused() -> None:
    longer = pack_record(RECORD).replace(b"\xa3seq\x07", b"\xa3seq\xcd\x00\x07")
    assert unpack(longer, MAX_RECORD) == CONTENT
    assert "shortest" in refused(longer).why
    refused(b"\x00" * (MAX_RECORD + 1))
    refused([1, 2])


def test_what_is_too_long_loses_ends_but_never_links() -> None:
    names = tuple(f"{at:03}" + "x" * 60 for at in range(32))
    addresses = tuple("a" * 200 + f"{at}:7411" for at in range(16))
    full = dataclasses.replace(RECORD, agents=names, capabilities=names, addresses=addresses, linked=PEERS)
    fits = fitting(full)
    assert unpack_record(pack_record(fits)) == fits
    assert fits.linked == PEERS and fits.agents and fits.capabilities and fits.addresses
    assert fitting(RECORD) is RECORD


NAMES = st.lists(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,10}", fullmatch=True), max_size=32, unique=True).map(tuple)
RECORDS = st.builds(
    Record,
    public=st.binary(min_size=32, max_size=32),
    sealing_public=st.binary(min_size=32, max_size=32),
    incarnation=st.integers(0, 2**53),
    seq=st.integers(0, 2**53),
    created=st.integers(0, NOW),
    expires=st.just(0),
    addresses=st.lists(st.from_regex(r"[a-z0-9]{1,20}:[1-9][0-9]{0,3}", fullmatch=True), max_size=16).map(tuple),
    always_on=st.booleans(),
    capabilities=NAMES,
    agents=NAMES,
    version=st.text("0123456789.abc", max_size=64),
    linked=st.lists(st.sampled_from(PEERS), max_size=32, unique=True).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.integers(1, MAX_LIFE_MS))
def test_any_record_survives_the_wire(made: Record, life: int) -> None:
    record = dataclasses.replace(made, expires=made.created + life)
    assert unpack_record(pack_record(fitting(record))) == fitting(record)


VALUES = st.none() | st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.lists(st.text(max_size=3), max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CONTENT)), VALUES))
def test_only_a_peer_fault_escapes(changes: dict[str, object]) -> None:
    try:
        unpack_record(pack(CONTENT | changes))
    except PeerFault as fault:
        assert fault.code is Code.BAD_RECORD


@pytest.mark.parametrize(
    ("held", "now", "verdict"),
    [
        (None, NOW, Verdict.NEWS),
        (None, NOW + MAX_LIFE_MS, Verdict.EXPIRED),
        (None, NOW - MAX_SKEW_MS, Verdict.NEWS),
        (None, NOW - MAX_SKEW_MS - 1, Verdict.EARLY),
        ((4, 6, b""), NOW, Verdict.NEWS),
        ((3, 900, b""), NOW, Verdict.NEWS),
        ((4, 7, b"same"), NOW, Verdict.KNOWN),
        ((4, 7, b"other"), NOW, Verdict.CONFLICT),
        ((4, 8, b""), NOW, Verdict.KNOWN),
        ((5, 0, b""), NOW, Verdict.KNOWN),
    ],
)
def test_the_higher_one_counts(held: tuple[int, int, bytes] | None, now: int, verdict: Verdict) -> None:
    assert judge(held, RECORD, b"same", now) is verdict

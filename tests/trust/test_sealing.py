import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.envelope import (
    MAX_BODY,
    Body,
    Header,
    pack_body,
    pack_envelope,
    pack_header,
    signing_input,
    unpack_envelope,
)
from relay.core.errors import Code, PeerFault
from relay.trust.identity import Identity
from relay.trust.sealing import PeerKeys, open_body, seal, sign_snapshot, verify, verify_snapshot

from .seeds import LAPTOP, NOW, ROOT, STRANGER, VPS

BODY = Body("op-1", {"task": "make test"}, ("task",))


def header(origin: Identity = LAPTOP, recipient: Identity = VPS) -> Header:
    key_id = recipient.sealing.key_id
    return Header("spawn", b"\x11" * 16, origin.id, recipient.id, key_id, 3, NOW, NOW + 1000)


RAW = seal(LAPTOP, PeerKeys.of(VPS), header(), BODY)


def test_what_was_sealed_is_opened_by_its_recipient() -> None:
    envelope = unpack_envelope(RAW)
    verify(envelope, LAPTOP.public)
    assert envelope.header == header()
    assert open_body(VPS, envelope) == BODY


def test_nobody_else_opens_it() -> None:
    envelope = unpack_envelope(RAW)
    with pytest.raises(PeerFault) as caught:
        open_body(STRANGER, envelope)
    assert caught.value.code is Code.BAD_ENVELOPE


def test_a_key_that_is_not_held_is_told_apart() -> None:
    renewed = VPS.with_sealing(b"\x55" * 32, NOW)
    other = dataclasses.replace(header(), key_id=renewed.sealing.key_id)
    raw = seal(LAPTOP, PeerKeys.of(renewed), other, BODY)
    with pytest.raises(PeerFault) as caught:
        open_body(VPS, unpack_envelope(raw))
    assert caught.value.code is Code.UNKNOWN_KEY
    assert open_body(renewed, unpack_envelope(raw)) == open_body(renewed, unpack_envelope(RAW)) == BODY


@pytest.mark.parametrize("public", [STRANGER.public, VPS.public, bytes(32)])
def test_a_signature_of_another_key_is_refused(public: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        verify(unpack_envelope(RAW), public)
    assert caught.value.code is Code.BAD_SIGNATURE


def test_a_sealed_body_cannot_be_moved_under_another_header_or_origin() -> None:
    envelope = unpack_envelope(RAW)
    for forged in (dataclasses.replace(header(), id=b"\x12" * 16), header(origin=STRANGER)):
        signer = STRANGER if forged.origin == STRANGER.id else LAPTOP
        data = pack_header(forged)
        signature = signer.sign(signing_input(data, envelope.sealed))
        moved = unpack_envelope(pack_envelope(data, envelope.sealed, signature))
        verify(moved, signer.public)
        with pytest.raises(PeerFault) as caught:
            open_body(VPS, moved)
        assert caught.value.code is Code.BAD_ENVELOPE


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(at: int, change: int) -> None:
    bent = bytearray(RAW)
    bent[at] ^= change
    with pytest.raises(PeerFault):
        envelope = unpack_envelope(bytes(bent))
        verify(envelope, LAPTOP.public)
        open_body(VPS, envelope)


def test_a_seal_made_of_rubbish_is_a_peer_fault() -> None:
    data = pack_header(header())
    rubbish = unpack_envelope(pack_envelope(data, bytes(100), LAPTOP.sign(signing_input(data, bytes(100)))))
    verify(rubbish, LAPTOP.public)
    with pytest.raises(PeerFault):
        open_body(VPS, rubbish)


def test_a_header_for_another_pair_is_our_own_defect() -> None:
    with pytest.raises(ValueError, match="another pair"):
        seal(LAPTOP, PeerKeys.of(ROOT), header(), BODY)


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(PeerFault):
        seal(LAPTOP, PeerKeys.of(VPS), header(), Body("op", {"task": "x" * MAX_BODY}))
    assert len(pack_body(header(), b"", BODY)) < MAX_BODY


def test_a_snapshot_signature_fits_only_its_target_and_bytes() -> None:
    signature = sign_snapshot(VPS, b"snapshot")
    verify_snapshot(VPS.public, b"snapshot", signature)
    for public, data, word in (
        (LAPTOP.public, b"snapshot", signature),
        (VPS.public, b"snapshoT", signature),
        (VPS.public, b"snapshot", VPS.sign(b"snapshot")),
        (VPS.public, b"snapshot", b""),
    ):
        with pytest.raises(PeerFault) as caught:
            verify_snapshot(public, data, word)
        assert caught.value.code is Code.BAD_SIGNATURE

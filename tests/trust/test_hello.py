import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, PeerFault
from relay.core.hello import AuditHead, Binding, Hello, Role, pack_hello
from relay.core.wire import pack
from relay.trust.hello import sign_hello, verify_hello

from .seeds import LAPTOP, NOW, ROOT, VPS

BINDING = Binding(dialler=LAPTOP.public, listener=VPS.public)
HELLO = Hello(
    versions=(1,),
    public=LAPTOP.public,
    name="laptop",
    role=Role.MEMBER,
    incarnation=3,
    nonce=b"\x01" * 16,
    roster_head=b"\x02" * 32,
    audit_head=AuditHead(7, b"\x03" * 32),
    binding=BINDING.digest,
    seen_of_you=5,
    addresses=("192.168.1.2:7411", "[fe80::1]:7411"),
    clock_ms=NOW,
)
RAW = sign_hello(LAPTOP, HELLO)


def test_a_hello_arrives_as_it_was_said() -> None:
    assert verify_hello(RAW, LAPTOP.public, BINDING) == HELLO


@pytest.mark.parametrize(
    "binding",
    [
        Binding(LAPTOP.public, ROOT.public),
        Binding(ROOT.public, LAPTOP.public),
        Binding(VPS.public, LAPTOP.public),
    ],
)
def test_a_hello_bound_to_another_connection_is_refused(binding: Binding) -> None:
    with pytest.raises(PeerFault) as caught:
        verify_hello(RAW, LAPTOP.public, binding)
    assert caught.value.code is Code.BAD_HELLO and "another connection" in caught.value.why


def test_a_hello_of_another_broker_than_the_tls_peer_is_refused() -> None:
    with pytest.raises(PeerFault):
        verify_hello(RAW, VPS.public, BINDING)
    with pytest.raises(PeerFault):
        verify_hello(RAW, LAPTOP.public, Binding(ROOT.public, VPS.public))


def test_a_hello_signed_by_another_key_is_refused() -> None:
    with pytest.raises(PeerFault) as caught:
        verify_hello(sign_hello(VPS, HELLO), LAPTOP.public, BINDING)
    assert caught.value.code is Code.BAD_HELLO


def test_a_signature_made_for_something_else_does_not_fit() -> None:
    forged = pack([1, pack_hello(HELLO), LAPTOP.sign(pack_hello(HELLO))])
    with pytest.raises(PeerFault):
        verify_hello(forged, LAPTOP.public, BINDING)


def test_a_reflected_hello_is_refused() -> None:
    with pytest.raises(PeerFault):
        verify_hello(RAW, VPS.public, Binding(VPS.public, LAPTOP.public))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(at: int, change: int) -> None:
    bent = bytearray(RAW)
    bent[at] ^= change
    with pytest.raises(PeerFault) as caught:
        verify_hello(bytes(bent), LAPTOP.public, BINDING)
    assert caught.value.code is Code.BAD_HELLO


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_a_bad_hello(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        verify_hello(data, LAPTOP.public, BINDING)
    assert caught.value.code is Code.BAD_HELLO


def test_the_name_is_checked_before_the_signature_is_paid_for() -> None:
    bad = sign_hello(LAPTOP, dataclasses.replace(HELLO, name="Not A Name"))
    with pytest.raises(PeerFault, match="hello"):
        verify_hello(bad, LAPTOP.public, BINDING)

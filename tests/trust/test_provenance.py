"""The signed chain of origin: what proves it, and that nothing else does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import ids
from relay.core.errors import Code, PeerFault, Refused
from relay.core.ids import BrokerId
from relay.core.provenance import Link, SignedLink, link_from_bytes, links_from_content, links_to_content
from relay.core.wire import pack
from relay.trust.provenance import check_chain, sign_link

from .seeds import LAPTOP, ROOT, STRANGER, VPS

TABLET, PHONE = ROOT, STRANGER
KEYS = {each.id: each.public for each in (LAPTOP, VPS, TABLET)}
P, Q, R = (ids.spawn_id(bytes([n]) * ids.SPAWN_ID_BYTES) for n in (1, 2, 3))
# the phone asks the laptop for P, P asks the vps for Q, Q asks the tablet for R
FIRST = Link(P, PHONE.id, Q, LAPTOP.id, VPS.id)
SECOND = Link(Q, LAPTOP.id, R, VPS.id, TABLET.id)
LINKS = (sign_link(LAPTOP, FIRST), sign_link(VPS, SECOND))
CHAIN = (PHONE.id, LAPTOP.id)


def check(
    links: tuple[SignedLink, ...] = LINKS,
    chain: tuple[BrokerId, ...] = CHAIN,
    child: str = R,
    origin: BrokerId = VPS.id,
    target: BrokerId = TABLET.id,
    key_of: Callable[[BrokerId], bytes | None] = KEYS.get,
) -> None:
    check_chain(links, chain, child, origin, target, key_of)


def test_a_whole_chain_is_believed() -> None:
    check()
    check(links_from_content(links_to_content(LINKS)))
    check(LINKS[:1], CHAIN[:1], Q, LAPTOP.id, VPS.id)


@pytest.mark.parametrize(
    "changed",
    [
        {"links": ()},
        {"links": LINKS[:1]},
        {"links": LINKS[::-1]},
        {"chain": ()},
        {"chain": CHAIN[:1]},
        {"chain": CHAIN[::-1]},
        {"chain": (TABLET.id, LAPTOP.id)},
        {"child": Q},
        {"origin": LAPTOP.id},
        {"target": LAPTOP.id},
        {"links": (LINKS[0], sign_link(LAPTOP, SECOND))},
        {"links": (sign_link(VPS, FIRST), LINKS[1])},
        {"links": (LINKS[0], SignedLink(LINKS[1].data, LINKS[0].signature))},
        {"links": (sign_link(LAPTOP, dataclasses.replace(FIRST, child=R)), LINKS[1])},
        {"key_of": {VPS.id: VPS.public}.get},
    ],
)
def test_a_chain_with_a_step_that_is_another_s_is_not(changed: dict[str, object]) -> None:
    with pytest.raises(Refused) as refused:
        check(**changed)  # type: ignore[arg-type]
    assert refused.value.code is Code.UNPROVED_CHAIN and refused.value.hint


FORMLESS = (b"", b"\xc0", pack([P, PHONE.id, Q, LAPTOP.id]), pack([P, "x", Q, LAPTOP.id, VPS.id]))


@pytest.mark.parametrize("data", FORMLESS)
def test_a_link_of_another_form_is_a_peer_s_fault(data: bytes) -> None:
    with pytest.raises(PeerFault):
        link_from_bytes(data)


@given(st.recursive(st.none() | st.binary(max_size=80) | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_only_a_peer_s_fault_escapes_from_the_reader(content: object) -> None:
    try:
        links = links_from_content(content)
    except PeerFault as fault:
        assert fault.code is Code.UNPROVED_CHAIN
    else:
        assert all(len(each.signature) == 64 for each in links)

"""The exchange by code: both have one key where both know the code and mean the same, else nothing fits."""

from __future__ import annotations

import pytest

from relay.core import codes
from relay.core.codes import InviteCode, Offer
from relay.core.errors import PeerFault
from relay.trust.code_exchange import Guest, check_confirmation, respond
from relay.trust.identity import Identity

CODE = InviteCode(7, ("crater", "lantern", "velvet"))
OFFER = Offer(b"workspace", "work", "member")


def _identity(seed: int) -> Identity:
    return Identity.create(bytes([seed] * 32), bytes([seed + 100] * 32))


JOINER, INVITER, OTHER = _identity(1), _identity(2), _identity(3)


def test_who_knows_the_code_agrees() -> None:
    guest = Guest(JOINER, CODE)
    start, agreed = respond(CODE.password, guest.opening, INVITER.id, OFFER)
    there = guest.finish(INVITER.id, OFFER, start)
    assert there == agreed
    assert agreed.verifier != agreed.confirmation
    check_confirmation(there, agreed.confirmation)


def test_each_exchange_has_another_key() -> None:
    keys = set()
    for _ in range(3):
        guest = Guest(JOINER, CODE)
        keys.add(respond(CODE.password, guest.opening, INVITER.id, OFFER)[1].verifier)
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("password", "inviter", "offer"),
    [
        (b"crater-lantern-walnut", INVITER, OFFER),
        (CODE.password, OTHER, OFFER),
        (CODE.password, INVITER, Offer(b"other", "work", "member")),
        (CODE.password, INVITER, Offer(b"workspace", "play", "member")),
        (CODE.password, INVITER, Offer(b"workspace", "work", "signer")),
    ],
)
def test_who_does_not_or_means_something_else_has_another_key(
    password: bytes, inviter: Identity, offer: Offer
) -> None:
    guest = Guest(JOINER, CODE)
    start, agreed = respond(password, guest.opening, inviter.id, offer)
    there = guest.finish(INVITER.id, OFFER, start)
    assert there.verifier != agreed.verifier
    with pytest.raises(PeerFault, match="answer was refused"):
        check_confirmation(there, agreed.confirmation)


def test_the_keys_and_the_number_of_the_joiner_are_in_it() -> None:
    guest = Guest(JOINER, CODE)
    for changed in (
        codes.Opening(8, guest.opening.public, guest.opening.sealing_public, guest.opening.start),
        codes.Opening(7, OTHER.public, guest.opening.sealing_public, guest.opening.start),
        codes.Opening(7, guest.opening.public, OTHER.sealing.public, guest.opening.start),
    ):
        another = Guest(JOINER, CODE)
        start, agreed = respond(CODE.password, changed, INVITER.id, OFFER)
        with pytest.raises(PeerFault):
            check_confirmation(another.finish(INVITER.id, OFFER, start), agreed.confirmation)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        bytes(33),
        b"A" + bytes(32),  # its own side
        b"B" + bytes(32),
        b"B" + b"\xff" * 32,
        b"B" + b"\x01" + bytes(31),  # the neutral element
        b"S" + bytes(32),
    ],
)
def test_a_half_that_is_none_is_refused(start: bytes) -> None:
    with pytest.raises(PeerFault):
        Guest(JOINER, CODE).finish(INVITER.id, OFFER, start)


def test_a_half_sent_back_is_refused() -> None:
    guest = Guest(JOINER, CODE)
    with pytest.raises(PeerFault):
        guest.finish(INVITER.id, OFFER, b"B" + guest.opening.start[1:])

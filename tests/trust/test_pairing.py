import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, PeerFault, Refused, RelayError
from relay.core.pairing import (
    FetchAgain,
    FirstUse,
    InviteLink,
    PeerRecord,
    format_link,
    judge_invite,
    pack_request,
    parse_link,
    refusal,
    row_of,
)
from relay.core.wire import pack
from relay.trust.identity import Identity
from relay.trust.pairing import make_answer, make_refusal, make_request, member_from, open_answer, open_request
from relay.trust.roster import admit
from relay.trust.signing import signed_block
from relay.trust.workspace import Workspace

from .seeds import HOME, LAPTOP, NOW, OTHER, ROOT, STRANGER, VPS, folded, founded

LINK = InviteLink(ROOT.id, b"\x42" * 32, "home", NOW + 600_000, ("127.0.0.1:7411",))
RECORDS = (PeerRecord(ROOT.id, ("127.0.0.1:7411",)), PeerRecord(LAPTOP.id, ()))


def asked(identity: Identity = VPS) -> bytes:
    return make_request(identity, LINK, "vps", ("10.0.0.9:7411",), b"\x43" * 16)[1]


def answered(raw: bytes, signer: Identity = ROOT, workspace: Workspace = HOME) -> bytes:
    """What the inviter does on a first use."""
    request = open_request(raw)
    statements = founded()
    statements.append(admit(ROOT, HOME, folded(*statements), member_from(request, NOW), NOW))
    return make_answer(signer, workspace, request, [item.raw for item in statements], RECORDS)


ANSWER = answered(asked())


def test_a_machine_joins_by_a_link() -> None:
    row = row_of(LINK)
    link = parse_link(format_link(LINK))
    raw = make_request(VPS, link, "vps", ("10.0.0.9:7411",), b"\x43" * 16)[1]
    request = open_request(raw)
    assert judge_invite(row, request, ROOT.id, NOW) == FirstUse()
    answer = answered(raw)
    welcome = open_answer(VPS, link, answer, ROOT.public)
    assert welcome.workspace == HOME
    assert set(welcome.roster.members) == {ROOT.id, LAPTOP.id, VPS.id}
    assert welcome.roster.members[VPS.id].name == "vps"
    assert welcome.records == RECORDS
    used = dataclasses.replace(row, used_by=request.joiner, answer=answer)
    again = open_request(make_request(VPS, link, "vps", (), b"\x99" * 16)[1])
    assert judge_invite(used, again, ROOT.id, NOW) == FetchAgain(answer)
    thief = open_request(make_request(STRANGER, link, "vps", (), b"\x43" * 16)[1])
    with pytest.raises(Refused):
        judge_invite(used, thief, ROOT.id, NOW)


def test_neither_key_nor_secret_crosses_in_the_clear() -> None:
    for raw in (asked(), ANSWER, format_link(LINK).encode()):
        assert HOME.key not in raw
    assert LINK.secret not in asked() + ANSWER


def test_the_answer_opens_for_the_joiner_alone() -> None:
    with pytest.raises(PeerFault):
        open_answer(STRANGER, LINK, ANSWER, ROOT.public)


@pytest.mark.parametrize("inviter", [STRANGER.public, LAPTOP.public])
def test_another_inviter_than_the_pinned_one_is_refused(inviter: bytes) -> None:
    with pytest.raises(PeerFault):
        open_answer(VPS, LINK, ANSWER, inviter)


WRONG_ANSWERS: list[Callable[[], bytes]] = [
    lambda: answered(asked(), signer=LAPTOP),
    lambda: answered(asked(LAPTOP)),
    lambda: answered(asked(), workspace=OTHER),
    lambda: answered(asked(), workspace=dataclasses.replace(HOME, root_public=STRANGER.public)),
    lambda: make_answer(ROOT, HOME, open_request(asked()), [item.raw for item in founded()], RECORDS),
    lambda: make_answer(ROOT, HOME, open_request(asked()), [b"x"], RECORDS),
    lambda: make_answer(
        ROOT, HOME, dataclasses.replace(open_request(asked()), sealing_public=STRANGER.sealing.public), [], RECORDS
    ),
    lambda: b"",
    lambda: pack(["refused"]),
    lambda: pack([1, b"", bytes(64)]),
]


@pytest.mark.parametrize("make", WRONG_ANSWERS)
def test_wrong_answers_are_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(PeerFault):
        open_answer(VPS, LINK, make(), ROOT.public)


def test_an_answer_to_another_invite_is_refused() -> None:
    with pytest.raises(PeerFault):
        open_answer(VPS, dataclasses.replace(LINK, secret=b"\x44" * 32), ANSWER, ROOT.public)


@pytest.mark.parametrize("word", ["unknown", "expired", "used"])
def test_a_refusal_arrives_in_our_own_words(word: str) -> None:
    with pytest.raises(Refused) as caught:
        open_answer(VPS, LINK, make_refusal(refusal(word)), ROOT.public)
    assert caught.value.code is Code.INVITE_REFUSED
    assert caught.value.message == refusal(word).message


def test_requests_with_weak_keys_or_foreign_signatures_are_refused() -> None:
    request = open_request(asked())
    for forged in (
        dataclasses.replace(request, public=bytes(32)),
        dataclasses.replace(request, sealing_public=bytes(32)),
        dataclasses.replace(request, public=STRANGER.public),
    ):
        raw = signed_block(VPS, b"relay-join-request/1", pack_request(forged))
        with pytest.raises(PeerFault):
            open_request(raw)


@settings(max_examples=300, deadline=None)
@given(st.booleans(), st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 2))
def test_no_changed_byte_is_accepted(request_side: bool, at: int, change: int, cut: int) -> None:
    raw = asked() if request_side else ANSWER
    bent = bytearray(raw)
    bent[at % len(raw)] ^= change
    with pytest.raises(RelayError) as caught:
        data = bytes(bent[: len(bent) - cut])
        if request_side:
            open_request(data)
        else:
            open_answer(VPS, LINK, data, ROOT.public)
    assert isinstance(caught.value, PeerFault)

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, LocalFault, Misuse, PeerFault, Refused
from relay.core.statements import Member, Statement, pack_statement
from relay.trust.roster import admit, evict, read_roster, verify_statement
from relay.trust.signing import signed_block

from .seeds import HOME, LAPTOP, NOW, OTHER, ROOT, STRANGER, VPS, folded, founded, member


def test_statements_keep_their_bytes_and_fold_to_the_members() -> None:
    statements = founded()
    read = [verify_statement(HOME, item.raw) for item in statements]
    assert read == statements and [item.raw for item in read] == [item.raw for item in statements]
    roster = read_roster(HOME, [item.raw for item in reversed(statements)])
    assert set(roster.members) == {ROOT.id, LAPTOP.id}
    assert roster.members[LAPTOP.id].sealing_public == LAPTOP.sealing.public


def test_the_first_statement_is_the_creators_own_admission() -> None:
    first = founded()[0]
    assert (first.subject, first.signer, first.seq) == (ROOT.id, ROOT.id, 1)


def test_evicted_and_admitted_again() -> None:
    statements = founded()
    statements.append(evict(ROOT, HOME, folded(*statements), LAPTOP.id, NOW, "lost on a train"))
    assert LAPTOP.id not in folded(*statements).members
    statements.append(admit(ROOT, HOME, folded(*statements), member(LAPTOP), NOW))
    assert statements[-1].cites == statements[-2].hash
    assert LAPTOP.id in folded(*statements).members


def test_only_the_root_signs() -> None:
    roster = folded(*founded())
    with pytest.raises(Refused) as caught:
        admit(LAPTOP, HOME, roster, member(VPS), NOW)
    assert caught.value.code is Code.NOT_A_SIGNER
    with pytest.raises(Refused):
        evict(LAPTOP, HOME, roster, ROOT.id, NOW)


def test_a_forked_chain_is_not_extended() -> None:
    statements = founded()
    fork = admit(ROOT, HOME, folded(statements[0]), member(VPS), NOW)
    with pytest.raises(LocalFault) as caught:
        admit(ROOT, HOME, folded(*statements, fork), member(STRANGER), NOW)
    assert caught.value.code is Code.ROSTER_CLOSED


def test_who_is_no_member_and_who_is_the_root_cannot_be_evicted() -> None:
    for broker in (VPS.id, ROOT.id):
        with pytest.raises(Misuse):
            evict(ROOT, HOME, folded(*founded()), broker, NOW)


@pytest.mark.parametrize(
    "weak",
    [
        dataclasses.replace(member(VPS), public=bytes(32)),
        dataclasses.replace(member(VPS), sealing_public=bytes(32)),
    ],
)
def test_weak_keys_are_not_admitted(weak: Member) -> None:
    with pytest.raises(PeerFault):
        admit(ROOT, HOME, folded(*founded()), weak, NOW)


def resigned(statement: Statement, identity: object = ROOT, domain: bytes = b"relay-statement/1") -> bytes:
    return signed_block(identity, domain, pack_statement(statement))  # type: ignore[arg-type]


def test_forged_statements_are_refused() -> None:
    good = founded()[1]
    foreign = dataclasses.replace(good, workspace=OTHER.id)
    theirs = dataclasses.replace(good, signer=STRANGER.id)
    assert good.member is not None
    weak = dataclasses.replace(good, member=dataclasses.replace(good.member, sealing_public=bytes(32)))
    forged = {
        resigned(good, STRANGER): Code.BAD_SIGNATURE,
        resigned(good, domain=b"relay-hello/1"): Code.BAD_SIGNATURE,
        resigned(foreign): Code.OTHER_WORKSPACE,
        resigned(theirs, STRANGER): Code.BAD_SIGNATURE,
        resigned(weak): Code.BAD_SIGNATURE,
        b"": Code.BAD_ENVELOPE,
    }
    for raw, code in forged.items():
        with pytest.raises(PeerFault) as caught:
            verify_statement(HOME, raw)
        assert caught.value.code is code


RAW = founded()[1].raw


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(at: int, change: int) -> None:
    bent = bytearray(RAW)
    bent[at] ^= change
    with pytest.raises(PeerFault):
        verify_statement(HOME, bytes(bent))

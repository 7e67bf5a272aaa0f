import dataclasses

import pytest

from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.records import MAX_LIFE_MS, Record, pack_record, unpack_record
from relay.trust.identity import Identity
from relay.trust.local_tag import local_tag
from relay.trust.records import MAX_SIGNED, sign_record, verify_record
from relay.trust.sealing import PeerKeys
from relay.trust.signing import signed_block

from .seeds import HOME, LAPTOP, NOW, OTHER, STRANGER, VPS
from .test_vectors import golden, keys


def members(broker: BrokerId) -> PeerKeys | None:
    return {each.id: PeerKeys.of(each) for each in (LAPTOP, VPS)}.get(broker)


def record_of(identity: Identity, **changes: object) -> Record:
    made = Record(identity.public, identity.sealing.public, 7, 3, NOW, NOW + MAX_LIFE_MS, ("vps.example:7411",))
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def code_of(raw: object) -> Code:
    with pytest.raises(PeerFault) as caught:
        verify_record(raw, members)
    return caught.value.code


def test_a_member_s_record_is_its_word() -> None:
    record = record_of(LAPTOP, always_on=True, linked=(VPS.id,))
    assert verify_record(sign_record(LAPTOP, record), members) == record


def test_a_stranger_s_record_is_refused_before_it_is_verified() -> None:
    assert code_of(sign_record(STRANGER, record_of(STRANGER))) is Code.NOT_A_MEMBER
    assert code_of(signed_block(LAPTOP, b"relay-record/1", pack_record(record_of(STRANGER)))) is Code.NOT_A_MEMBER


def test_a_forged_record_is_refused() -> None:
    content = pack_record(record_of(LAPTOP))
    assert code_of(signed_block(VPS, b"relay-record/1", content)) is Code.BAD_SIGNATURE
    assert code_of(signed_block(LAPTOP, b"relay-hello/1", content)) is Code.BAD_SIGNATURE
    raw = bytearray(sign_record(LAPTOP, record_of(LAPTOP)))
    raw[-1] ^= 1
    assert code_of(bytes(raw)) is Code.BAD_SIGNATURE


def test_only_the_roster_says_what_is_sealed_to() -> None:
    assert code_of(sign_record(LAPTOP, record_of(LAPTOP, sealing_public=VPS.sealing.public))) is Code.UNKNOWN_KEY


@pytest.mark.parametrize("raw", [b"", b"x" * (MAX_SIGNED + 1), "text", None, b"\x93\x02\xc4\x00\xc4\x00"])
def test_what_is_no_record_is_refused(raw: object) -> None:
    assert code_of(raw) is Code.BAD_RECORD


def test_golden_record() -> None:
    record = record_of(
        LAPTOP,
        addresses=("laptop.local:7411", "[fd7a::1]:7411"),
        always_on=True,
        capabilities=("docker", "ios_build"),
        agents=("claude", "shell"),
        version="0.1.0",
        linked=(VPS.id,),
    )
    built = {
        "owner": keys(LAPTOP),
        "workspace_key": HOME.key.hex(),
        "content": pack_record(record).hex(),
        "record": sign_record(LAPTOP, record).hex(),
        "local_tag": local_tag(HOME, LAPTOP.id),
    }
    stored = golden("record", built)
    assert unpack_record(bytes.fromhex(stored["content"])) == record


def test_a_local_tag_is_read_by_members_alone() -> None:
    tags = {local_tag(HOME, LAPTOP.id), local_tag(HOME, VPS.id), local_tag(OTHER, LAPTOP.id)}
    tags.add(local_tag(dataclasses.replace(HOME, epoch=2), LAPTOP.id))
    assert len(tags) == 4
    for tag in tags:
        assert len(tag) == 24 and tag.isalnum() and LAPTOP.id[:6] not in tag

import base64
import dataclasses
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, Misuse, PeerFault, Refused
from relay.core.pairing import (
    Answer,
    FetchAgain,
    FirstUse,
    InviteLink,
    InviteRow,
    JoinRequest,
    PeerRecord,
    format_link,
    judge_invite,
    pack_answer,
    pack_request,
    parse_link,
    proof_of,
    refusal,
    refusal_word,
    row_of,
    unpack_answer,
    unpack_request,
)
from relay.core.wire import pack

NOW = 1_800_000_000_000
INVITER = ids.broker_id(b"\x01" * 32)
LINK = InviteLink(INVITER, b"\x02" * 32, "home", NOW + 1000, ("vps.example:7411", "[::1]:7411"))
TEXT = format_link(LINK)
ROW = row_of(LINK)


def request(link: InviteLink = LINK, public: bytes = b"\x03" * 32) -> JoinRequest:
    draft = JoinRequest(link.id, link.inviter, b"\x04" * 16, public, b"\x05" * 32, "new", (), bytes(32))
    return dataclasses.replace(draft, proof=proof_of(link.verifier, draft))


def test_a_link_survives_being_pasted() -> None:
    wrapped = f"  <{TEXT[:40]}\r\n  {TEXT[40:90]}\n{TEXT[90:]}>\n"
    assert parse_link(TEXT) == parse_link(wrapped) == parse_link(f'"{TEXT}"') == LINK


def test_a_link_is_one_word_of_safe_letters() -> None:
    assert TEXT.startswith("relay://join/")
    assert all(letter.isalnum() or letter in "-_" for letter in TEXT.removeprefix("relay://join/"))


def recoded(parts: object) -> str:
    payload = pack(parts)
    check = hashlib.sha256(authenticated(b"relay-link-check/1", payload)).digest()[:4]
    return "relay://join/" + base64.urlsafe_b64encode(payload + check).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "https://example.com/",
        "relay://join/",
        "relay://join/*",
        "relay://join/" + "A" * 9000,
        "relay://join/é",
        recoded([2, bytes(32), bytes(32), "home", NOW, []]),
        recoded([1, bytes(32), bytes(31), "home", NOW, []]),
        recoded([1, bytes(32), bytes(32), "home", NOW, ["-oProxyCommand=x:1"]]),
        recoded({"a": 1}),
    ],
)
def test_what_is_no_link_is_a_bad_invite(text: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse_link(text)
    assert caught.value.code is Code.BAD_INVITE and "relay invite --link" in caught.value.hint


def test_every_truncation_and_every_changed_letter_is_told() -> None:
    for end in range(len(TEXT)):
        with pytest.raises(Misuse):
            parse_link(TEXT[:end])
    for at in range(len("relay://join/"), len(TEXT) - 1):  # the last letter may hold unused bits
        other = "A" if TEXT[at] != "A" else "B"
        with pytest.raises(Misuse):
            parse_link(TEXT[:at] + other + TEXT[at + 1 :])


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet="AZaz09-_=", min_size=1).map(lambda text: "relay://join/" + text))
def test_only_a_misuse_escapes_from_a_link(text: str) -> None:
    with pytest.raises(Misuse):
        parse_link(text)


def test_the_row_and_the_representations_do_not_hold_the_secret() -> None:
    assert LINK.secret not in (ROW.id, ROW.verifier)
    assert repr(LINK.secret) not in repr(LINK) and repr(ROW.verifier) not in repr(ROW)
    assert LINK.secret not in pack_request(request())


def test_first_use_then_the_same_answer_for_the_same_joiner() -> None:
    asked = request()
    assert judge_invite(ROW, asked, INVITER, NOW) == FirstUse()
    used = dataclasses.replace(ROW, used_by=asked.joiner, answer=b"answer")
    assert judge_invite(used, asked, INVITER, NOW) == FetchAgain(b"answer")


USED = dataclasses.replace(ROW, used_by=request().joiner, answer=b"answer")


@pytest.mark.parametrize(
    ("row", "asked", "now", "word"),
    [
        (None, request(), NOW, "unknown"),
        (ROW, request(), LINK.expires, "expired"),
        (USED, request(), LINK.expires, "expired"),
        (ROW, request(), NOW - 30 * 86_400_000, "expired"),  # it was made by a clock that was ahead
        (USED, request(public=b"\x06" * 32), NOW, "used"),
        (ROW, dataclasses.replace(request(), proof=bytes(32)), NOW, "unknown"),
        (USED, dataclasses.replace(request(), proof=bytes(32)), NOW, "unknown"),
        (ROW, dataclasses.replace(request(), public=b"\x06" * 32), NOW, "unknown"),
        (ROW, dataclasses.replace(request(), sealing_public=b"\x06" * 32), NOW, "unknown"),
        (ROW, dataclasses.replace(request(), nonce=b"\x06" * 16), NOW, "unknown"),
        (ROW, request(dataclasses.replace(LINK, secret=b"\x09" * 32)), NOW, "unknown"),
        (ROW, request(dataclasses.replace(LINK, inviter=ids.broker_id(b"x" * 32))), NOW, "unknown"),
    ],
)
def test_anybody_else_is_refused(row: InviteRow | None, asked: JoinRequest, now: int, word: str) -> None:
    with pytest.raises(Refused) as caught:
        judge_invite(row, asked, INVITER, now)
    assert caught.value.code is Code.INVITE_REFUSED
    assert refusal_word(caught.value) == word


def test_a_word_off_the_wire_becomes_our_own_text() -> None:
    assert refusal("<script>").message == refusal("unknown").message


ANSWER = Answer(
    invite=LINK.id,
    joiner=request().joiner,
    workspace={"id": "x"},
    sealed_key=b"k" * 112,
    statements=(b"one", b"two"),
    records=(PeerRecord(INVITER, ("vps.example:7411",)),),
)


def test_messages_are_read_as_they_were_packed() -> None:
    assert unpack_request(pack_request(request())) == request()
    assert unpack_answer(pack_answer(ANSWER)) == ANSWER


FORMS = [(pack_request(request()), unpack_request), (pack_answer(ANSWER), unpack_answer)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_only_a_peer_fault_escapes_from_messages(data: st.DataObject) -> None:
    packed, read = data.draw(st.sampled_from(FORMS))
    at, value = data.draw(st.integers(0, len(packed) - 1)), data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    bent = packed[:at] + bytes([value]) + packed[at + 1 : len(packed) - cut]
    try:
        read(bent)
    except PeerFault:
        pass

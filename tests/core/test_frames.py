import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.envelope import MAX_ENVELOPE
from relay.core.errors import Code, PeerFault
from relay.core.frames import (
    MAX_BATCH,
    MAX_BATCH_BYTES,
    MAX_FRAME,
    MAX_HELLO,
    MAX_REASON,
    SAID_MARK,
    Batch,
    Bye,
    Credit,
    Frame,
    HelloFrame,
    Ping,
    Pong,
    Said,
    pack_frame,
    unpack_frame,
)
from relay.core.wire import pack

COUNTS = st.integers(0, 2**53 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_REASON)
BATCHES = st.lists(st.binary(max_size=300), min_size=1, max_size=MAX_BATCH).map(tuple)
FRAMES = st.one_of(
    st.builds(HelloFrame, st.binary(max_size=MAX_HELLO)),
    st.builds(Batch, BATCHES),
    st.builds(Said, BATCHES),
    st.builds(Ping, COUNTS),
    st.builds(Pong, COUNTS),
    st.builds(Bye, TEXT),
    st.builds(Credit, COUNTS),
)


@settings(deadline=None)
@given(FRAMES)
def test_what_is_packed_is_read(frame: Frame) -> None:
    assert unpack_frame(pack_frame(frame)) == frame


def test_the_bytes_of_each_frame() -> None:
    assert [
        pack_frame(frame) for frame in (HelloFrame(b"h"), Batch((b"e",)), Ping(1), Pong(1), Bye("x"), Credit(1))
    ] == [
        b"\x92\x00\xc4\x01h",
        b"\x92\x01\x91\xc4\x01e",
        b"\x92\x02\x01",
        b"\x92\x03\x01",
        b"\x92\x04\xa1x",
        b"\x92\x05\x01",
    ]


def test_what_is_said_on_channels_is_told_by_its_beginning() -> None:
    assert pack_frame(Said((b"p",))) == SAID_MARK + b"\x91\xc4\x01p"
    others = (Batch((b"e",)), Ping(10), HelloFrame(b"h"), Credit(10), Bye("x"))
    assert not any(pack_frame(frame).startswith(SAID_MARK) for frame in others)


def test_a_full_batch_fits_a_frame() -> None:
    each = MAX_BATCH_BYTES // MAX_BATCH
    assert len(pack_frame(Batch(tuple(bytes(each) for _ in range(MAX_BATCH))))) <= MAX_FRAME
    assert len(pack_frame(Batch((bytes(MAX_ENVELOPE),)))) <= MAX_FRAME


def test_a_long_reason_is_cut() -> None:
    assert unpack_frame(pack_frame(Bye("x" * 500))) == Bye("x" * MAX_REASON)


@pytest.mark.parametrize(
    "parts",
    [
        None,
        [],
        [1],
        [2, 1, 1],
        {"a": 1},
        ["0", b""],
        [True, [b"e"]],
        [False, b"h"],
        [6, 0],
        [-1, 0],
        [0, "text"],
        [0, bytes(MAX_HELLO + 1)],
        [1, []],
        [1, b"e"],
        [1, ["text"]],
        [1, [b"e"] * (MAX_BATCH + 1)],
        [1, [bytes(MAX_ENVELOPE + 1)]],
        [2, -1],
        [2, 2**53],
        [2, True],
        [2, 1.0],
        [3, None],
        [4, b"bytes"],
        [4, "x" * (MAX_REASON + 1)],
        [5, "1"],
        [5, -1],
    ],
)
def test_other_forms_are_refused(parts: object) -> None:
    with pytest.raises(PeerFault) as caught:
        unpack_frame(pack(parts))
    assert caught.value.code is Code.BAD_FRAME


def test_a_frame_is_bounded() -> None:
    with pytest.raises(PeerFault):
        unpack_frame(pack([0, bytes(MAX_FRAME)]))


@settings(max_examples=400, deadline=None)
@given(
    st.binary(max_size=100) | st.builds(lambda n, value: pack([n, value]), st.integers(-2, 9), st.none() | st.binary())
)
def test_only_a_peer_fault_escapes(data: bytes) -> None:
    try:
        unpack_frame(data)
    except PeerFault:
        pass

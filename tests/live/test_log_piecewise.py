"""A transcript between two that are linked comes in pieces, and no faster than it is read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from relay.broker import log_piecewise
from relay.broker.link import Link
from relay.broker.log_pieces import PIECE, batches
from relay.broker.log_piecewise import DATA, READ, ROOM, TOLD_EVERY, Room, data_of, data_piece, room_in
from relay.core.errors import PeerFault
from relay.core.streams import pack_piece, unpack_piece
from relay.spawn.transcript import Chunk
from relay.testing.bench_node import BenchNode, bench_pair, linked, until
from relay.testing.carrier import MemoryNetwork
from tests.live.log_ground import Follower, LogEnd, ends_of
from tests.live.test_log_streams import following, through
from tests.live.test_pieces import said

__all__ = ["said"]
STREAM = b"s" * 16
CONTENT = {"stream": STREAM, "n": 3, "chunks": [[0, 15, 0, 7, b"x"]], "end": False}


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[BenchNode]]:
    async with bench_pair(tmp_path) as both:
        await linked(*both)
        yield list(both)


def _families(said: list[bytes]) -> set[int]:
    return {unpack_piece(piece)[0] for piece in said}


async def _followed(here: LogEnd, there: LogEnd, pieces: int = TOLD_EVERY + 1) -> None:
    written = [os.urandom(PIECE) for _ in range(pieces)]
    for piece in written:
        there.write(piece)
    await there.end()
    follower = Follower(here)
    await follower.run()
    assert follower.data == b"".join(written)


async def test_between_two_that_are_linked_it_comes_in_pieces(nodes: list[BenchNode], said: list[bytes]) -> None:
    here, there = await ends_of(nodes[0], nodes[1])
    await _followed(here, there)
    assert _families(said) == {DATA, READ}


async def test_with_one_of_an_earlier_version_it_comes_in_envelopes(
    tmp_path: Path, said: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.broker.greeting.NEWEST", None)
    async with bench_pair(tmp_path) as (one, other):
        await linked(one, other)
        await _followed(*await ends_of(one, other))
    assert not said


async def test_a_reader_of_an_earlier_version_gets_envelopes(
    nodes: list[BenchNode], said: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_piecewise, "takes_pieces", lambda link, peer: False)  # it tells of no room
    await _followed(*await ends_of(nodes[0], nodes[1]))
    assert not said


async def test_over_a_holder_it_comes_in_envelopes(tmp_path: Path, said: list[bytes]) -> None:
    async with through(tmp_path, MemoryNetwork()) as (reader, middle, target):
        await _followed(*await ends_of(reader, target, [middle]))
    assert not said


async def test_no_more_is_on_its_way_than_the_reader_has_room_for(
    nodes: list[BenchNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, sent, most = 0, 0, 0
    say = Link.say_piece

    def counted(link: Link, piece: bytes) -> bool:
        nonlocal sent, most
        sent += unpack_piece(piece)[0] == DATA
        most = max(most, sent - read)
        return say(link, piece)

    monkeypatch.setattr(Link, "say_piece", counted)
    here, there = await ends_of(nodes[0], nodes[1])
    written = [n.to_bytes(4, "big") * (PIECE // 8) for n in range(ROOM * 3)]
    for piece in written:
        there.write(piece)
    reading = here.client.read(await here.row())
    got = [await anext(reading)]
    await until(lambda: sent >= ROOM, what="as much as there is room for")
    async for found in reading:
        got.append(found)
        read += 1
    assert b"".join(chunk.data for found in got for chunk in cast("list[Chunk]", found)) == b"".join(written)
    # what was read is told in steps, and the reader's count here is one behind
    assert ROOM <= most <= ROOM + 1


async def test_a_word_of_the_reader_that_was_dropped_holds_nothing_up(
    nodes: list[BenchNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    say, left = Link.say_piece, ROOM // TOLD_EVERY

    def dropped(link: Link, piece: bytes) -> bool:
        nonlocal left
        if unpack_piece(piece)[0] == READ and left:
            left -= 1
            return False
        return say(link, piece)

    monkeypatch.setattr(Link, "say_piece", dropped)
    here, there = await ends_of(nodes[0], nodes[1])
    await _followed(here, there, pieces=ROOM * 2)
    assert not left


async def test_a_word_on_what_nobody_sends_harms_nobody(nodes: list[BenchNode]) -> None:
    here, there = await ends_of(nodes[0], nodes[1])
    link = nodes[0].mesh.link(nodes[1].id)
    assert link is not None
    async with following(here) as follower:
        await until(lambda: there.serves(nodes[0].id) == 1, what="the stream")
        for stream in (STREAM, bytes(16)):
            for count in (0, 1, 2**64 - 1):
                piece = log_piecewise.read_piece(stream, count)
                assert piece is not None and link.say_piece(piece)
        there.write(b"still")
        await until(lambda: follower.data == b"still", what="the output")
    assert nodes[0].mesh.link(nodes[1].id) is link


async def test_a_piece_of_an_unknown_stream_is_answered_by_a_close(nodes: list[BenchNode]) -> None:
    here, there = await ends_of(nodes[0], nodes[1])
    async with following(here):
        await until(lambda: there.serves(nodes[0].id) == 1, what="the stream")
        open_here, here.client._readings = here.client._readings, {}  # as of a broker whose close was lost
        there.write(b"x")
        await until(lambda: there.serves(nodes[0].id) == 0, what="its end")
        here.client._readings = open_here


@pytest.mark.parametrize("message", [None, [], {}, {"chunks": []}, {"end": True}, {"stream": STREAM, "n": 0}])
def test_a_piece_of_another_form_is_refused(message: Any) -> None:
    content = {"stream": STREAM, "session": STREAM, "n": 0, "ack": 0, "message": message}
    with pytest.raises(PeerFault):
        data_of(unpack_piece(pack_piece(DATA, content) or b"")[1])


def test_a_piece_says_what_an_envelope_would() -> None:
    for content in (CONTENT, CONTENT | {"end": True, "error": {"code": "refused"}}):
        family, came = unpack_piece(data_piece(content) or b"")
        assert family == DATA and data_of(came) == content
    # no more than one says it of itself: which stream, and which place in it, are the piece's own
    forged = {"stream": bytes(16), "n": 9, "chunks": [], "end": False}
    came = {"stream": STREAM, "session": STREAM, "n": 0, "ack": 0, "message": forged}
    assert data_of(came)["stream"] == STREAM and data_of(came)["n"] == 0


def test_what_was_written_byte_by_byte_fits_in_an_attempt_behind_the_first() -> None:
    """Where a place is 9 bytes, twice a chunk: all that is read at once of such a log is no piece, and no envelope."""
    place = 2**41
    found = [Chunk(place + n * 13, place + n * 13 + 13, 0, 2**41, b"x") for n in range(PIECE // 13)]
    made = batches(found)
    assert [each for batch in made for each in batch] == found
    for batch in made:
        chunks = [[each.offset, each.next_offset, each.stream, each.at_ms, each.data] for each in batch]
        assert data_piece(CONTENT | {"chunks": chunks}) is not None


@pytest.mark.parametrize("room", [0, -1, 2**53, True, "32", 1.5, b"", []])
def test_a_room_of_another_form_is_refused(room: Any) -> None:
    with pytest.raises(PeerFault):
        room_in({"room": room})


async def test_who_says_to_have_read_more_than_came_gets_no_more_for_it() -> None:
    room = Room(2)
    room.read(1_000)
    for _ in range(2):
        assert room._more.is_set()
        room.sent()
    assert not room._more.is_set()
    room.read(1)
    assert room._more.is_set()

"""What is said on a channel: between two that are linked in pieces, else in envelopes; at once, or in turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.broker.channel import WINDOW, Conversation, Message
from relay.broker.channels import ATTACH, FORWARD, Channels
from relay.broker.link import Link
from relay.broker.pipe import pair
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.streams import MAX_PIECE, pack_piece, unpack_piece
from relay.testing.bench_node import BenchNode, bench_pair, linked, until
from relay.testing.carrier import MemoryNetwork
from tests.live.test_channel import STREAM, Wire, wire
from tests.live.test_log_streams import through

__all__ = ["wire"]
CONTENT = {"stream": STREAM, "session": b"s" * 16, "n": 3, "ack": 2, "message": {"k": "in", "data": b"x"}}
NOTHING = CONTENT | {"message": None}


class Echo:
    """Channels of one broker; what it serves comes back, at once where that is asked for."""

    def __init__(self, node: BenchNode, at_once: bool = False) -> None:
        self.channels = Channels(ATTACH, node.mesh, self._serve)
        self.at_once = at_once
        self.in_turn = 0
        node.hears = self.channels.hears
        node.on_link = self.channels.link_changed

    async def _serve(self, channel: Conversation, origin: BrokerId, spawn: str, ask: Message) -> None:
        await channel.send({"k": "hello"})
        channel.at_once = channel.send_now if self.at_once else None
        while (message := await channel.receive()) is not None:
            self.in_turn += 1
            await channel.send(message)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[BenchNode]]:
    async with bench_pair(tmp_path) as both:
        await linked(*both)
        yield list(both)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pieces that go over any link."""
    pieces: list[bytes] = []
    say = Link.say_piece

    def noted(link: Link, piece: bytes) -> bool:
        pieces.append(piece)
        return say(link, piece)

    monkeypatch.setattr(Link, "say_piece", noted)
    return pieces


async def _echoed(asker: Echo, target: BenchNode, words: Iterable[bytes]) -> list[Any]:
    channel = await asker.channels.open(target.id, "s", {})
    assert await channel.receive() == {"k": "hello"}
    seen = []
    for word in words:
        await channel.send({"data": word})
        seen.append((await channel.receive() or {}).get("data"))
    channel.close()
    return seen


@pytest.mark.parametrize("at_once", [True, False])
async def test_between_two_that_are_linked_it_goes_in_pieces(
    nodes: list[BenchNode], said: list[bytes], at_once: bool
) -> None:
    asker, served = Echo(nodes[0]), Echo(nodes[1], at_once)
    words = [os.urandom(size) for size in (1, 4096, 32 * 1024) * WINDOW]
    assert await _echoed(asker, nodes[1], words) == words
    assert sum(unpack_piece(piece)[1]["message"] is not None for piece in said) == 2 * len(words) + 1
    assert served.in_turn == (0 if at_once else len(words))


async def test_with_one_that_does_not_read_pieces_it_goes_in_envelopes(
    tmp_path: Path, said: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.broker.greeting.NEWEST", None)  # a hello of an earlier version
    async with bench_pair(tmp_path) as (one, other):
        await linked(one, other)
        asker, _ = Echo(one), Echo(other, at_once=True)
        assert await _echoed(asker, other, [b"a", b"b"]) == [b"a", b"b"]
    assert not said


async def test_through_a_holder_no_piece_goes(tmp_path: Path, said: list[bytes]) -> None:
    async with through(tmp_path, MemoryNetwork()) as (asker, _, target):
        one, _ = Echo(asker), Echo(target, at_once=True)
        assert await _echoed(one, target, [b"a", b"b"]) == [b"a", b"b"]
    assert not said


async def test_who_says_what_is_no_piece_is_let_go(nodes: list[BenchNode]) -> None:
    one, other = nodes
    Echo(one), Echo(other)
    for piece in (b"", bytes(49), bytes(60), b"x" * MAX_PIECE + b"y"):
        reason = "replaced"  # both dial, and one of the two links gives way
        while reason == "replaced":
            await until(lambda: one.mesh.is_linked(other.id) and other.mesh.is_linked(one.id), what="the link")
            link, there = one.mesh.link(other.id), other.mesh.link(one.id)
            assert link is not None and there is not None
            link.say_piece(piece)
            await asyncio.wait_for(there.ended.wait(), 10)
            reason = there.reason
        assert reason.startswith(("refused", "a message was refused", "a frame was refused")), reason


async def test_a_piece_of_an_unknown_family_or_stream_harms_nobody(nodes: list[BenchNode], said: list[bytes]) -> None:
    one, other = nodes
    asker, _ = Echo(one), Echo(other, at_once=True)
    link = one.mesh.link(other.id)
    assert link is not None
    for family in (0, ATTACH.number, FORWARD.number, 255):
        piece = pack_piece(family, CONTENT)
        assert piece is not None and link.say_piece(piece)
    assert await _echoed(asker, other, [b"still"]) == [b"still"]
    assert one.mesh.link(other.id) is link


def test_a_piece_is_what_was_packed() -> None:
    for content in (CONTENT, NOTHING):
        assert unpack_piece(pack_piece(7, content) or b"") == (7, content)
    assert pack_piece(1, CONTENT | {"session": b""}) is None
    assert pack_piece(1, CONTENT | {"message": {"data": bytes(MAX_PIECE)}}) is None


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_only_a_peer_fault_escapes(data: bytes) -> None:
    try:
        unpack_piece(data)
    except PeerFault:
        pass


# at once


def _kept(seen: list[Message], message: Message) -> bool:
    seen.append(message)
    return True


async def test_what_is_taken_at_once_keeps_its_order_with_what_is_read_in_turn(wire: Wire) -> None:
    seen: list[Message] = []
    wire.server.at_once = lambda message: message["n"] % 3 != 0 and _kept(seen, message)
    for n in range(WINDOW):
        await wire.asker.send({"n": n})  # nobody reads yet: all of them wait
    assert not seen
    seen += [await wire.server.receive() or {} for _ in range(WINDOW)]
    reading = asyncio.ensure_future(wire.server.receive())
    await asyncio.sleep(0)
    for n in range(WINDOW, WINDOW + 9):
        await wire.asker.send({"n": n})
    # the first that is not taken at once is for the reader, and so is all behind it
    seen.append(await reading or {})
    seen += [await wire.server.receive() or {} for _ in range(9 - (len(seen) - WINDOW))]
    assert seen == [{"n": n} for n in range(WINDOW + 9)]


async def test_what_is_taken_at_once_gives_room_for_more(wire: Wire) -> None:
    count = 0

    def take(message: Message) -> bool:
        nonlocal count
        count += 1
        return True

    wire.server.at_once = take
    reading = asyncio.ensure_future(wire.server.receive())
    await asyncio.sleep(0)
    for _ in range(WINDOW * 5):
        assert wire.asker.send_now({})
    assert count == WINDOW * 5
    wire.asker.close()
    assert await reading is None
    assert not wire.asker.send_now({}) and not wire.server.send_now({})


async def test_nothing_is_taken_at_once_from_a_reader_that_gave_up(wire: Wire) -> None:
    wire.server.at_once = lambda message: True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wire.server.receive()
    await wire.asker.send({"n": 1})
    assert await wire.server.receive() == {"n": 1}


async def test_a_pipe_gives_at_once_too() -> None:
    one, other = pair()
    seen: list[Message] = []
    other.at_once = lambda message: _kept(seen, message)
    assert one.send_now({"n": 0})
    assert not seen and await other.receive() == {"n": 0}
    reading = asyncio.ensure_future(other.receive())
    await asyncio.sleep(0)
    assert all(one.send_now({"n": n}) for n in range(WINDOW * 2))
    assert len(seen) == WINDOW * 2
    one.close()
    assert await reading is None and not other.send_now({})

"""Streams of logs end with what they came by: nothing is left at the target of a reader that is gone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from relay.broker.log_pieces import PIECE
from relay.broker.log_reading import MAX_WAITING, SILENCE_S
from relay.broker.log_words import MAX_STREAMS, Waits
from relay.broker.transcripts import AsOf, Transcripts
from relay.core.errors import Unreachable
from relay.core.kinds import Kind
from relay.core.tails import Piece, Tail
from relay.spawn.transcript import Chunk
from relay.store import tails
from relay.testing.bench_node import BenchNode, bench_mesh, bench_pair, linked, until
from relay.testing.carrier import MemoryNetwork
from tests.live.log_ground import Follower, LogEnd, Turns, ends_of
from tests.store import specimens

CUTS = MAX_STREAMS + 6


@asynccontextmanager
async def following(end: LogEnd) -> AsyncIterator[Follower]:
    follower = Follower(end)
    task = asyncio.ensure_future(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes tenths of them."""
    monkeypatch.setattr("relay.broker.log_serving.ALIVE_S", 0.1)
    # this process may get no turn for as long as a second, in which both ends are silent
    monkeypatch.setattr("relay.broker.log_reading.WORD_S", 1.5)
    monkeypatch.setattr("relay.broker.log_reading.SILENCE_S", 2.0)


async def test_a_follower_whose_link_is_cut_again_and_again_has_one_stream(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with bench_pair(tmp_path, network) as (reader, target):
        await linked(reader, target)
        here, there = await ends_of(reader, target)
        async with following(here) as follower:
            for _ in range(CUTS):
                ups = reader.ups
                await until(lambda: there.serves(reader.id) == 1, what="one stream")
                network.cut(reader.id, target.id)
                await until(lambda ups=ups: reader.ups > ups and target.mesh.is_linked(reader.id), what="the link")  # type: ignore[misc]
            there.write(b"after all that")
            await until(lambda: follower.data == b"after all that", what="the output")
            assert there.serves(reader.id) == 1


@asynccontextmanager
async def through(folder: Path, network: MemoryNetwork, holders: int = 1) -> AsyncIterator[list[BenchNode]]:
    """The reader, those in between, and the target, each awake and the two out of each other's reach."""
    last = holders + 1
    async with bench_mesh(folder, holders + 2, network, holders=range(1, last), apart=[(0, last)]) as nodes:
        for middle in nodes[1:last]:
            for end in (nodes[0], nodes[last]):
                await until(lambda m=middle, e=end: m.mesh.is_linked(e.id) and e.mesh.is_linked(m.id), what="links")  # type: ignore[misc]
        yield nodes


async def cut_off(network: MemoryNetwork, reader: BenchNode, middle: BenchNode) -> None:
    network.partition(reader.id, middle.id)
    network.cut(reader.id, middle.id)
    await until(lambda: not reader.mesh.up, what="the way to be lost")


async def test_a_reader_that_is_started_anew_leaves_no_stream_behind(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with through(tmp_path, network) as (reader, middle, target):
        here, there = await ends_of(reader, target)
        for n in range(1, 4):
            async with following(here) as follower:
                there.write(b"x")
                await until(lambda n=n, got=follower: got.data == b"x" * n, what="the output")  # type: ignore[misc]
                assert there.serves(reader.id) == 1, "those of earlier starts have ended"
                await cut_off(network, reader, middle)
            await here.restart()
            network.heal(reader.id, middle.id)
            reader.dialler.poke()
            await linked(reader)


async def test_what_comes_on_an_unknown_stream_is_answered_by_a_close(tmp_path: Path, quick: None) -> None:
    """The reader left while its way was cut, so that its close was lost."""
    network = MemoryNetwork()
    async with through(tmp_path, network) as (reader, middle, target):
        here, there = await ends_of(reader, target)
        async with following(here):
            await until(lambda: there.serves(reader.id) == 1, what="the stream")
            await cut_off(network, reader, middle)
        assert there.serves(reader.id) == 1
        network.heal(reader.id, middle.id)
        reader.dialler.poke()
        await until(lambda: there.serves(reader.id) == 0, what="the stream to end")


async def test_a_target_that_loses_the_way_in_between_tells_its_reader_by_another(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with through(tmp_path, network, 2) as (reader, _, _, target):
        here, there = await ends_of(reader, target)
        async with following(here) as follower:
            await until(lambda: there.serves(reader.id) == 1, what="the stream")
            used = reader.mesh.way_link(target.id)
            assert used is not None
            network.partition(used.peer, target.id)
            network.cut(used.peer, target.id)
            there.write(b"goes on")
            await until(lambda: follower.data == b"goes on", SILENCE_S / 3, "the output by the other way")
            assert reader.mesh.stands(used)


async def test_a_way_on_which_what_is_live_is_dropped_is_left_for_another(tmp_path: Path, quick: None) -> None:
    network = MemoryNetwork()
    async with through(tmp_path, network, 2) as (reader, one, two, target):
        here, there = await ends_of(reader, target)
        there.write(b"at last")
        chosen = reader.mesh.way_link(target.id)
        assert chosen is not None
        liar = one if chosen.peer == one.id else two
        liar.mesh.pass_on = lambda peer, envelopes: None  # type: ignore[method-assign]
        async with following(here) as follower:
            await until(lambda: follower.data == b"at last", 15, "output by the honest one")
            assert follower.told and "nothing has come from its machine" in follower.told[0]
        assert reader.mesh.router.way(target.id) == chosen.peer  # what is durable goes as before


async def test_what_ended_as_its_broker_went_is_read_to_its_end_once_that_is_back(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with bench_pair(tmp_path, network) as (reader, target):
        await linked(reader, target)
        here, there = await ends_of(reader, target)
        there.write(b"seen")
        transcripts = Transcripts(reader.id, reader.store, there.local, here.client, reader.mesh.is_linked)
        pieces = transcripts.read(await here.row(), 0, None, follow=True)
        seen = await anext(pieces)
        assert isinstance(seen, list) and seen[-1].data == b"seen"
        network.partition(reader.id, target.id)
        network.cut(reader.id, target.id)
        await until(lambda: not reader.mesh.up, what="the way to be lost")
        there.write(b", missed")
        for end in (here, there):
            await end.end()
        told = await anext(pieces)
        assert isinstance(told, Waits) and "it has ended" in told.text
        at = seen[-1].next_offset
        tail = Tail(1, 2**52, (Piece(0, at, 0, 5, b"seen"), Piece(at, 99, 0, 5, b"!")))
        network.heal(reader.id, target.id)
        reader.dialler.poke()
        rest = [found async for found in pieces]
        assert [chunk.data for found in rest for chunk in cast("list[Chunk]", found)] == [b", missed"]
        # what was sent here is enough where it is known to be all there is behind a place
        network.partition(reader.id, target.id)
        network.cut(reader.id, target.id)
        await until(lambda: not reader.mesh.up, what="the way to be lost")
        await reader.store.write(lambda tx: tails.keep(tx, specimens.spawn_id(1), tail))
        for place, data in ((at, [b"!"]), (99, [])):
            found = [each async for each in transcripts.read(await here.row(), place, None, follow=True)]
            assert [chunk.data for each in found for chunk in cast("list[Chunk]", each)] == data


async def test_a_machine_that_refuses_is_not_said_to_be_out_of_reach(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with bench_pair(tmp_path, network) as (reader, target):
        await linked(reader, target)
        here, there = await ends_of(reader, target)
        row = await here.row()
        tail = Tail(1, 5, (Piece(0, 4, 0, 5, b"kept"),))
        await reader.store.write(lambda tx: tails.keep(tx, row.id, tail))
        transcripts = Transcripts(reader.id, reader.store, there.local, here.client, reader.mesh.is_linked)
        async with AsyncExitStack() as stack:
            for _ in range(MAX_STREAMS):
                await stack.enter_async_context(following(here))
            await until(lambda: there.serves(reader.id) == MAX_STREAMS, what="as many as there may be")
            told, chunks = [found async for found in transcripts.read(row, 0, None, follow=False)]
        assert isinstance(told, AsOf) and told.reason == "too many readers of logs at once"
        assert isinstance(chunks, list) and chunks[0].data == b"kept"
        await until(lambda: there.serves(reader.id) == 0, what="all of them to have left")


@pytest.mark.parametrize("answers", [True, False], ids=["by another way", "by none"])
async def test_a_link_that_stands_and_brings_nothing_is_found_in_time(tmp_path: Path, answers: bool) -> None:
    network = MemoryNetwork()
    async with bench_mesh(tmp_path, 3, network, holders=[1]) as (reader, middle, target):
        await until(lambda: all(len(each.mesh.up) == 2 for each in (reader, middle, target)), what="links")
        here, there = await ends_of(reader, target)
        there.write(b"here")
        network.partition(reader.id, target.id)
        if not answers:
            network.partition(middle.id, target.id)
        reading = here.client.read(await here.row())
        began = asyncio.get_running_loop().time()
        async with Turns() as turns, following(here) as follower:
            if answers:
                assert [chunk.data for found in [await anext(reading)] for chunk in found] == [b"here"]
                await until(lambda: follower.data == b"here", what="the output")
                assert not follower.told
            else:
                with pytest.raises(Unreachable, match="gave no answer"):
                    await anext(reading)
                await until(lambda: follower.told, what="the follower to be told")
            assert asyncio.get_running_loop().time() - began - turns.lost_s < 12
        await reading.aclose()


async def test_a_silent_task_costs_its_follower_no_second_stream(tmp_path: Path, quick: None) -> None:
    for n in itertools.count():
        (folder := tmp_path / str(n)).mkdir()
        if await _costs_no_second_stream(folder):
            break


async def _costs_no_second_stream(folder: Path) -> bool:
    """Whether that is shown: it may not be where this process got no turn, so that both ends were silent."""
    async with through(folder, MemoryNetwork()) as (reader, _, target), Turns() as turns:
        here, there = await ends_of(reader, target)
        opened: list[bytes] = []
        serves = target.hears[Kind.LOG_OPEN]
        target.hears[Kind.LOG_OPEN] = lambda each: (opened.append(each.header.id), serves(each))[1]  # type: ignore[func-returns-value]
        async with following(here) as follower:
            await until(lambda: opened, what="the stream")
            await asyncio.sleep(4)  # well beyond the silence after which it would be opened again
            is_shown = len(opened) == 1 and not follower.told and there.serves(reader.id) == 1
            assert is_shown or turns.lost_s > 1, (opened, follower.told)
            return is_shown


async def test_who_reads_slower_than_it_comes_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a machine of an earlier version, which does not wait for its reader."""
    monkeypatch.setattr("relay.broker.greeting.NEWEST", None)
    network = MemoryNetwork()
    async with bench_pair(tmp_path, network) as (reader, target):
        await linked(reader, target)
        here, there = await ends_of(reader, target)
        written = [n.to_bytes(4, "big") * (PIECE // 4) for n in range(MAX_WAITING * 2)]
        for piece in written:
            there.write(piece)
        reading = here.client.read(await here.row())
        got = [await anext(reading)]
        await until(lambda: there.serves(reader.id) == 0, what="all of it to have been sent")
        got += [found async for found in reading]
        assert b"".join(chunk.data for found in got for chunk in cast("list[Chunk]", found)) == b"".join(written)

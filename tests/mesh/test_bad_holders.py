"""Holders that keep nothing, say nothing or keep too long, and receipts that get lost: it costs time, and is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.broker import handing
from relay.broker.arrivals import CANNOT_KEEP
from relay.broker.outbox import DOES_NOT_ANSWER
from relay.broker.reissue import Reissue
from relay.core import delivery
from relay.core.errors import Code, LocalFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import State
from relay.store import held, outbox, words
from relay.store.journal import Entry, Letter
from relay.store.outbox import OutboxState
from relay.testing.bench_node import BenchNode, bench_mesh, drained, until
from relay.testing.carrier import MemoryNetwork

Four = tuple[BenchNode, BenchNode, BenchNode, BenchNode]
Keep = Callable[[BrokerId, Sequence[bytes]], Coroutine[Any, Any, list[tuple[bytes, str]]]]


@pytest.fixture
async def four(tmp_path: Path, network: MemoryNetwork) -> AsyncIterator[Four]:
    """An origin, two holders, and a recipient that the origin cannot reach."""
    async with bench_mesh(tmp_path, 4, network, holders=[1, 2], apart=[(0, 3)]) as (one, first, second, other):
        await until(lambda: len(one.mesh.up) == 2 and len(other.mesh.up) == 2)
        yield one, first, second, other


def _bad_one(four: Four) -> BenchNode:
    one, first, second, other = four
    return first if one.mesh.router.way(other.id) == first.id else second


async def _fails(origin: BrokerId, raws: Sequence[bytes]) -> list[tuple[bytes, str]]:
    raise LocalFault("nothing was kept", code=Code.DISK_FULL, why="the disk is full")


async def _says_nothing(origin: BrokerId, raws: Sequence[bytes]) -> list[tuple[bytes, str]]:
    await asyncio.Event().wait()
    return []


@pytest.mark.parametrize(("manner", "words_for_it"), [(_fails, CANNOT_KEEP), (_says_nothing, DOES_NOT_ANSWER)])
async def test_a_holder_that_is_there_and_keeps_nothing_is_passed_over(
    four: Four, monkeypatch: pytest.MonkeyPatch, manner: Keep, words_for_it: str
) -> None:
    one, _, _, other = four
    monkeypatch.setattr(delivery, "RESEND_AFTER", 50)
    await one.post(other.id, "first")
    await drained(one)
    bad = _bad_one(four)
    one.mesh.router._reached_by = lambda broker: [bad.id]  # so that it is chosen, however quick the other one is
    bad.custody.keep = manner  # type: ignore[method-assign, assignment]
    operations = ["first", *await one.pour(other.id, 20)]

    def is_told() -> bool:
        for link in one.mesh.up:
            link._tick()
        one.outbox.give_up_the_silent()
        return one.mesh.refusal(other.id) == (bad.id, words_for_it)

    await until(is_told, what="the word that `relay outbox` shows")
    await one.handing.look()
    await drained(one)
    assert sorted(await other.acted()) == sorted(operations)


async def test_a_receipt_that_was_lost_is_asked_for_when_its_sender_is_in_reach(
    four: Four, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two have it in reach, and the one that keeps them is named second."""
    one, first, second, other = four
    monkeypatch.setattr(handing, "LOST_AFTER", 100)
    monkeypatch.setattr(other.inbox, "_answer", lambda *words: None)
    operations = await one.pour(other.id, 5)
    await until(lambda: _acted(other, operations))
    await until(lambda: _all_held(one))
    monkeypatch.undo()
    monkeypatch.setattr(handing, "LOST_AFTER", 100)
    # whichever keeps them: the quicker one is chosen
    keeper = (await one.rows())[0].holder
    one.mesh._believed = lambda broker: sorted((first.id, second.id), key=lambda each: each == keeper)

    async def looked() -> bool:
        await one.handing.look()
        return await one.waiting() == 0

    await until(looked, what="the receipts of a second handing over")
    assert await _acted(other, operations), "each was acted on once"


async def _acted(node: BenchNode, operations: list[str]) -> bool:
    return sorted(await node.acted()) == sorted(operations)


async def _all_held(node: BenchNode) -> bool:
    return all(line.holder for line in await node.rows())


WORD = words.SignedWord("abcdefghijklmnop", 1, 2, State.COMPLETED, 0, bytes(64), b"signed")


async def test_what_is_sealed_again_is_kept_no_longer_where_it_was(four: Four) -> None:
    one, _, _, other = four
    await other.close()

    def say(entry: Entry) -> None:
        words.keep(entry.tx, WORD)
        content = {"snapshot": WORD.bytes, "signature": WORD.signature}
        operation = f"word/{WORD.spawn}/{WORD.attempt}/{WORD.seq}"
        entry.post(Letter(other.id, Kind.SNAPSHOT, content, operation, 3_600_000, WORD.spawn))

    await one.journal.commit(say)
    await until(lambda: _all_held(one))
    before = (await one.rows())[0]
    assert await one.journal.commit(Reissue(one.postbox, one.mesh.let_go).due) == 1

    async def only_the_new() -> bool:
        kept = [line.id for node in four[1:3] for line in await node.store.all(held.ALL, limit=10)]
        return len(kept) == 1 and before.id not in kept

    await until(only_the_new, what="the holder to forget what was sealed again")
    await other.open()
    await drained(one)


async def test_a_receipt_closes_a_dead_letter_too(four: Four) -> None:
    """One copy was refused, another one taken: what its recipient has is neither shown as dead nor sent again."""
    one, _, _, other = four
    await other.close()
    await one.post(other.id, "taken-after-all")
    await until(lambda: _all_held(one))
    (line,) = await one.rows()
    await one.store.write(lambda tx: outbox.dead_letter(tx, line.id, "poison: five times"))
    one.mesh.refused(other.id, line.id, dead=True)
    assert (await one.rows())[0].state is OutboxState.DEAD
    await other.open()
    await until(lambda: _is_empty(one), what="the holder's copy to be taken and receipted")
    assert await other.acted() == ["taken-after-all"]


async def test_a_dead_letter_of_an_earlier_run_is_closed_as_well(four: Four) -> None:
    one, _, _, other = four
    await other.close()
    await one.post(other.id, "taken-after-all")
    await until(lambda: _all_held(one))
    (line,) = await one.rows()
    await one.store.write(lambda tx: outbox.dead_letter(tx, line.id, "poison: five times"))
    await one.restart()
    await other.open()
    await until(lambda: _is_empty(one))


async def _is_empty(node: BenchNode) -> bool:
    return not await node.rows()


async def test_a_receipt_finds_its_way_back_through_whoever_brought_the_envelope(
    tmp_path: Path, network: MemoryNetwork
) -> None:
    """The one in the middle is not always on, so that the recipient knows of no way to the origin."""
    async with bench_mesh(tmp_path, 3, network, apart=[(0, 2)]) as (one, middle, other):
        await until(lambda: len(middle.mesh.up) == 2)
        one.mesh.router._reached_by = lambda broker: [middle.id]
        one.outbox.reroute()
        await one.post(other.id, "there")
        await drained(one)
        assert await other.acted() == ["there"]

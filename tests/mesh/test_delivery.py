"""Durable envelopes between two real stacks: each acted on once, each row closed, whatever befalls the way."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.broker.inbox import Opened
from relay.core.delivery import MAX_QUEUED
from relay.core.errors import LocalFault, PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.link import RECEIVE_WINDOW
from relay.store.journal import Entry, Letter
from relay.store.outbox import OutboxState
from relay.testing.bench_node import BenchNode, bench_mesh, bench_pair, drained, linked, note, until
from relay.testing.carrier import CALM, Chaos, MemoryNetwork
from tests.mesh.conftest import Pair

ROUGH = Chaos(cut=0.03, duplicate=0.03, reorder=0.03, corrupt=0.02, delay_ms=4)
MANY = 250


async def expect_once(node: BenchNode, operations: list[str]) -> None:
    assert Counter(await node.acted()) == Counter(operations)


async def test_everything_comes_in_order(pair: Pair) -> None:
    one, other = pair
    operations = [f"operation-{at}" for at in range(50)]
    for operation in operations:
        await one.post(other.id, operation)
    await drained(one)
    assert await other.acted() == operations


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize("seed", range(6))
async def test_both_ways_over_a_rough_network(tmp_path: Path, seed: int) -> None:
    network = MemoryNetwork(ROUGH, seed)
    async with bench_pair(tmp_path, network) as (one, other):
        there, back = list[str](), list[str]()
        while min(one.ups, other.ups) < 4 or len(there) < MANY:
            label = str(len(there))
            poured = await asyncio.gather(one.pour(other.id, 25, label), other.pour(one.id, 25, label))
            there += poured[0]
            back += poured[1]
        network.chaos = CALM
        await drained(one, other)
        await expect_once(other, there)
        await expect_once(one, back)
    assert network.failures == [] and one.escaped == other.escaped == []


async def test_over_tls(tmp_path: Path) -> None:
    async with bench_pair(tmp_path) as (one, other):
        operations = await one.pour(other.id, 100)
        await drained(one)
        await expect_once(other, operations)


async def test_what_is_posted_to_a_broker_that_is_away_waits_for_it(pair: Pair) -> None:
    one, other = pair
    await other.close()
    operations = await one.pour(other.id, 100)
    assert await one.waiting() == 100
    await other.open()
    await drained(one)
    await expect_once(other, operations)


async def test_what_was_posted_before_a_restart_is_sent_after_it(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    network.partition(one.id, other.id)
    operations = await one.pour(other.id, 100)
    await one.restart()
    network.heal(one.id, other.id)
    await drained(one)
    await expect_once(other, operations)


async def test_a_recipient_that_restarts_acts_once(pair: Pair) -> None:
    one, other = pair
    pouring = asyncio.create_task(one.pour(other.id, 600))
    await until(lambda: other.ups and not pouring.done())
    await other.restart()
    operations = await pouring
    await drained(one)
    await expect_once(other, operations)


async def test_more_than_a_window_holds(pair: Pair, network: MemoryNetwork) -> None:
    """What waits in memory is bounded; the rest is read from the store when it is its turn."""
    one, other = pair
    network.partition(one.id, other.id)
    network.cut(one.id, other.id)
    operations = [f"operation-{at}" for at in range(MAX_QUEUED + 300)]

    def post_all(entry: Entry) -> None:
        for operation in operations:
            entry.post(Letter(other.id, Kind.STOP, {"spawn": ""}, operation, 60_000))

    window = one.outbox.window(other.id)
    await one.journal.commit(post_all)
    assert len(window._queue) <= MAX_QUEUED and not window.complete
    network.heal(one.id, other.id)
    await drained(one)
    assert await other.acted() == operations


async def test_a_slow_recipient_costs_bounded_memory(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    open_again, taking = asyncio.Event(), other.inbox.take
    held = 0

    async def slow(envelopes: list[bytes], giver: BrokerId) -> list[bytes]:
        nonlocal held
        held += sum(map(len, envelopes))
        await open_again.wait()
        return await taking(envelopes, giver)

    monkeypatch.setattr(other.mesh, "_take", slow)
    operations = await one.pour(other.id, 400, body="x" * 20_000)
    link = one.mesh.link(other.id)
    assert link is not None
    await until(lambda: link.machine.credit < 32 * 21_000, what="spent credit")
    await until(lambda: held > RECEIVE_WINDOW - 64 * 21_000)
    assert held <= RECEIVE_WINDOW and link.machine.credit >= 0
    assert await one.waiting() == 400 and await other.acted() == []
    open_again.set()
    await drained(one)
    await expect_once(other, operations)


# receipts


@pytest.mark.usefixtures("quick_clocks")
async def test_a_lost_receipt_is_made_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    lost: list[dict[str, object]] = []

    def lose(recipient: BrokerId, kind: Kind, content: dict[str, object], giver: BrokerId | None = None) -> bool:
        if kind is Kind.RECEIPT and len(lost) < 2:
            lost.append(content)
            return False
        return other.mesh.say(recipient, kind, content)

    monkeypatch.setattr(other.inbox, "_answer", lose)
    await one.post(other.id, "operation")
    await drained(one)
    assert len(lost) == 2 and lost[0] == lost[1]
    assert await other.acted() == ["operation"]


async def test_only_the_recipients_receipt_closes_a_row(tmp_path: Path, network: MemoryNetwork) -> None:
    async with bench_mesh(tmp_path, 3, network) as (one, other, forger):
        await until(lambda: one.mesh.is_linked(forger.id) and one.mesh.is_linked(other.id))
        network.partition(one.id, other.id)
        await one.post(other.id, "operation")
        row = (await one.rows())[0]
        assert forger.mesh.say(one.id, Kind.RECEIPT, {"ids": [row.id]})
        assert forger.mesh.say(one.id, Kind.NACK, {"id": row.id, "code": "expired", "why": "forged"})
        await forger.post(one.id, "behind-them")
        await drained(forger)
        assert [line.state for line in await one.rows()] == [OutboxState.PENDING]
        network.heal(one.id, other.id)
        await drained(one)
        assert await other.acted() == ["operation"]


@pytest.mark.usefixtures("quick_clocks")
async def test_without_a_commit_there_is_no_receipt(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    submit, failed = other.store.submit, 0

    def failing(*what: Any) -> asyncio.Future[Any]:
        nonlocal failed
        if failed == 3:
            return submit(*what)
        failed += 1
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_exception(LocalFault("the disk is full"))
        return done

    monkeypatch.setattr(other.store, "submit", failing)
    operations = await one.pour(other.id, 5)
    await drained(one)
    assert failed == 3
    await expect_once(other, operations)


class Failing:
    """An act that fails so many times, then notes."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left = error, times

    def __call__(self, entry: Entry, each: Opened) -> None:
        note(entry, each)
        if self.left:
            self.left -= 1
            raise self.error


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize(
    "error",
    [sqlite3.OperationalError("disk I/O error"), LocalFault("the disk is full"), RuntimeError("a defect")],
    ids=lambda error: type(error).__name__,
)
async def test_trouble_of_the_recipients_own_passes(pair: Pair, error: Exception) -> None:
    """It is not receipted, comes again, and then acts once: what the failed act did was rolled back."""
    one, other = pair
    other.act = Failing(error, 2)
    await one.post(other.id, "operation")
    await drained(one)
    assert await other.acted() == ["operation"]


async def dead(node: BenchNode) -> str:
    await until(lambda: _is_dead(node), what="a dead letter")
    return (await node.rows())[0].reason


async def _is_dead(node: BenchNode) -> bool:
    return [line.state for line in await node.rows()] == [OutboxState.DEAD]


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PeerFault("it was refused", why="senseless"), "bad_envelope: senseless"),
        (RuntimeError("a"), "poison: it failed here 5 times: RuntimeError; broker.log there says more"),
    ],
    ids=["refused", "poison"],
)
async def test_what_is_refused_is_dead_and_the_link_stays(pair: Pair, error: Exception, reason: str) -> None:
    one, other = pair
    other.act = partial(_refusing, error)
    link = one.mesh.link(other.id)
    await one.post(other.id, "operation")
    assert await dead(one) == reason
    assert await other.acted() == []
    await one.post(other.id, "another")
    await until(lambda: _has_acted(other))
    assert await other.acted() == ["another"] and one.mesh.link(other.id) is link


def _refusing(error: Exception, entry: Entry, each: Opened) -> None:
    """Whichever copy of it comes: one may be on its way still as the last try fails."""
    note(entry, each)
    if each.body.operation == "operation":
        raise error


async def _has_acted(node: BenchNode) -> bool:
    return bool(await node.acted())


async def test_what_has_expired_is_refused(pair: Pair) -> None:
    one, other = pair
    letter = Letter(other.id, Kind.STOP, {"spawn": ""}, "operation", -1)
    assert await one.journal.commit(lambda entry: entry.post(letter))
    assert (await dead(one)).startswith("expired")
    assert await other.acted() == []


async def test_one_operation_in_two_envelopes_acts_once(pair: Pair) -> None:
    one, other = pair
    await one.post(other.id, "operation")
    await drained(one)
    await one.post(other.id, "operation")
    await drained(one)
    assert await other.acted() == ["operation"]


async def test_what_is_not_durable_is_dropped_without_a_link(pair: Pair) -> None:
    one, other = pair
    assert one.mesh.say(other.id, Kind.LOG_CLOSE, {"stream": b""})
    await other.close()
    await until(lambda: not one.mesh.up)
    assert not one.mesh.say(other.id, Kind.LOG_CLOSE, {"stream": b""})
    await other.open()
    await linked(one)

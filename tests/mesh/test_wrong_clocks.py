"""What a store forgot too early: what comes afterwards is taken in, what may have been taken never acts again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest

from relay.broker.clocks import Clocks
from relay.broker.receipts import Receipts
from relay.broker.requests import Requests
from relay.broker.tasks import Tasks
from relay.core.envelope import MAX_LIFE_MS
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.timekeeping import SET_WITHIN_MS
from relay.spawn.attempting import Attempting
from relay.spawn.supervisor import Supervisor
from relay.store import inbox
from relay.store.journal import Journal
from relay.store.outbox import OutboxLine
from relay.store.query import Tx
from relay.testing import bench_node
from relay.testing.bench_node import BenchNode, bench_pair, drained, linked, until, wall_ms
from relay.testing.carrier import MemoryNetwork

DAY = 86_400_000
SPAWN = {"operation": "once", "agent": "shell", "task": "true", "cwd": "/", "ttl_s": 600}


class Tongue:
    """What a broker answers to envelopes: noted, and said but for the kinds that are lost."""

    def __init__(self, node: BenchNode, *lost: Kind) -> None:
        self._say = node.mesh.say
        self.lost = set(lost)
        self.said: list[tuple[Kind, dict[str, Any]]] = []
        node.inbox._answer = self

    def __call__(self, origin: BrokerId, kind: Kind, content: dict[str, Any], giver: BrokerId | None = None) -> None:
        self.said.append((kind, content))
        if kind not in self.lost:
            self._say(origin, kind, content, giver)

    async def first(self) -> tuple[Kind, dict[str, Any]]:
        await until(lambda: self.said, what="an answer")
        return self.said[0]


async def _forgets(node: BenchNode, before: int) -> int:
    return await node.store.write(lambda tx: inbox.purge(tx, before))


def _outlive(line: OutboxLine, *nodes: BenchNode) -> None:
    """By the clocks of these its time is over."""
    for node in nodes:
        node.ahead_ms = line.expires + 1 - wall_ms()


async def _act_unheard(one: BenchNode, other: BenchNode) -> Tongue:
    """One envelope that acts, and whose receipt is lost; how the other one answers from now on."""
    await linked(one, other)
    tongue = Tongue(other, Kind.RECEIPT)
    await one.post(other.id, "once")
    await tongue.first()
    tongue.lost.clear()
    tongue.said.clear()
    return tongue


async def test_what_is_asked_for_after_an_early_purge_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest purged expiry lies a month ahead; what is made now lives for a week."""
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        await linked(one, other)
        monkeypatch.setattr(bench_node, "TTL_MS", 30 * DAY)
        await one.pour(other.id, 3, "before")
        await drained(one)
        assert await _forgets(other, wall_ms() + 40 * DAY) == 6
        monkeypatch.setattr(bench_node, "TTL_MS", 7 * DAY)
        await one.pour(other.id, 3, "after")
        await drained(one)
        acted = await other.acted()
        assert len(acted) == len(set(acted)) == 6


async def test_what_may_have_been_forgotten_waits_and_never_acts_twice(tmp_path: Path) -> None:
    """Its receipt is lost and its row purged long before its time: it comes again, is put off, and is not refused."""
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        tongue = await _act_unheard(one, other)
        assert await _forgets(other, wall_ms() + 40 * DAY) == 2
        one.mesh.drop(other.id, "cut")
        kind, content = await tongue.first()
        assert (kind, content["code"]) == (Kind.NOTICE, "unsure")
        assert await other.acted() == ["once"]
        assert [str(line.state) for line in await one.rows()] == ["pending"]


async def test_what_a_restored_store_may_have_had_waits_and_what_is_made_later_acts(tmp_path: Path) -> None:
    """Its rows were lost with the copy: no expiry was purged, and no id."""
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        tongue = await _act_unheard(one, other)

        def restored(tx: Tx) -> None:
            tx.execute("DELETE FROM seen")
            tx.execute("DELETE FROM effects")
            inbox.doubt(tx, wall_ms(), MAX_LIFE_MS)

        await other.store.write(restored)
        one.mesh.drop(other.id, "cut")
        kind, content = await tongue.first()
        assert (kind, content["code"]) == (Kind.NOTICE, "unsure")
        made = wall_ms()
        await until(lambda: wall_ms() > made, what="a later millisecond")
        await one.post(other.id, "later")
        await until(lambda: len(tongue.said) > 1 and tongue.said[-1][0] is Kind.RECEIPT, what="its receipt")
        assert await other.acted() == ["once", "later"]


@pytest.mark.parametrize("is_kept", [True, False])
async def test_nack_expired_after_a_purge_for_something_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    """Where what it asked for is still here it is receipted; else it is refused, with no claim that it never came."""
    monkeypatch.setattr(bench_node, "TTL_MS", 600_000)
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        tongue = await _act_unheard(one, other)
        other.inbox._has_taken = lambda entry, each: is_kept
        (line,) = await one.rows()
        _outlive(line, one, other)
        await _forgets(other, other.clock())
        one.mesh.drop(other.id, "cut")
        kind, content = await tongue.first()
        assert kind is (Kind.RECEIPT if is_kept else Kind.NACK) and "never_taken" not in content
        assert await other.acted() == ["once"]


async def test_what_comes_too_late_for_the_first_time_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_node, "TTL_MS", -1)
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        await linked(one, other)
        tongue = Tongue(other)
        await one.post(other.id, "late")
        kind, content = await tongue.first()
        assert (kind, content["code"], content["never_taken"]) == (Kind.NACK, "expired", True)
        assert re.fullmatch(r"it has expired; its recipient's clock shows 20\d\d-.*", content["why"])
        assert await other.acted() == []


@pytest.mark.parametrize(("taken_in", "state", "words"), [(True, "queued", "no word since"), (False, "expired", "")])
async def test_a_spawn_that_may_have_run_is_not_ended_by_nack_expired(
    tmp_path: Path, taken_in: bool, state: str, words: str
) -> None:
    """Its origin ends it as expired only where its target is certain that it never took it."""
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        requests = _hears_of_spawns(one)
        await linked(one, other)
        tongue = Tongue(other, Kind.RECEIPT)
        other.inbox.is_open = taken_in
        row = await requests.spawn(requests.read(SPAWN | {"broker": other.id}))
        assert (await tongue.first())[0] is (Kind.RECEIPT if taken_in else Kind.NOTICE)
        # its envelope was sealed a moment after it was asked for
        (line,) = await one.rows()
        _outlive(line, one, other)
        assert await _forgets(other, other.clock()) == 2 * taken_in
        other.inbox.is_open = True
        tongue.said.clear()
        one.mesh.drop(other.id, "cut")
        # where both dialled at once and it was lost with the link that gave way, it is sent again after 30 s
        await until(lambda: _is_dead(one), within=90, what="the NACK")
        shown = await requests.find(row.id)
        assert str(shown.state) == state and shown.reason.startswith(words), shown.reason
        assert len(await other.acted()) == taken_in


def _hears_of_spawns(node: BenchNode) -> Requests:
    tasks = Tasks(node.place.identity, node.members, node.store, cast("Attempting", None), lambda: None)
    requests = Requests(node.members, node.journal, cast("Supervisor", None), node.outbox, tasks)
    node.inbox._hears |= Receipts(node.mesh, node.journal, requests).hears
    return requests


async def _is_dead(node: BenchNode) -> bool:
    return [str(line.state) for line in await node.rows()] == ["dead"]


async def test_a_jump_alone_is_known_over_restarts(tmp_path: Path) -> None:
    now = wall_ms()
    async with bench_pair(tmp_path, MemoryNetwork()) as (node, _):
        steps = ((0, ""), (40 * DAY, "later"), (41 * DAY, "later"), (DAY, ""), (-40 * DAY, "earlier"))
        for ahead, jumped in steps:
            believed = not jumped
            journal = Journal(node.store, node.postbox, lambda ahead=ahead: now + ahead)  # type: ignore[misc]
            clocks = Clocks(lambda peer: False, journal.clock, lambda: DAY)
            await clocks.open(node.store)
            assert clocks.may_expire() is believed and clocks.jumped_alone == jumped
            # by none of them is more forgotten than by the last one that was believed
            assert await journal.commit(clocks.note) == now + (ahead if believed else min(ahead, 0))


async def test_a_clock_that_comes_up_hours_ahead_has_time_to_be_set_right(tmp_path: Path) -> None:
    """Nobody is linked yet, and some hours are not much: what had ten minutes left would be called expired."""
    now = {"wall": wall_ms(), "elapsed": DAY}
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, _):
        journal = Journal(one.store, one.postbox, lambda: now["wall"])
        clocks = Clocks(lambda peer: False, journal.clock, lambda: now["elapsed"])
        deadline, before = now["wall"] + 600_000, await journal.commit(clocks.note)
        now.update(wall=now["wall"] + DAY // 4, elapsed=20_000)
        await clocks.open(one.store)
        assert not clocks.has_passed(deadline) and clocks.jumped_alone == ""
        assert await journal.commit(clocks.note) is None and clocks._agreed == before
        now.update(wall=now["wall"] - DAY // 4, elapsed=SET_WITHIN_MS)
        assert clocks.may_expire() and not clocks.has_passed(deadline)
        now["wall"] = deadline
        assert clocks.has_passed(deadline)


@pytest.mark.parametrize("jump", [40 * DAY, -40 * DAY, -DAY])
async def test_a_clock_that_is_set_under_a_live_link_is_believed_no_longer_and_when_it_is_right_again(
    tmp_path: Path, jump: int
) -> None:
    """What the peer said was of the clock as it was."""
    now = {"wall": wall_ms(), "elapsed": DAY}
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        clocks = Clocks(lambda peer: True, lambda: now["wall"], lambda: now["elapsed"])
        await clocks.open(one.store)
        clocks.greeted(other.id, now["wall"])
        for each in ("wall", "elapsed"):
            now[each] += 20 * DAY  # it slept, or the link is old
        assert clocks.may_expire()
        now["wall"] += jump
        assert not clocks.may_expire() and clocks.are_contradicted
        assert clocks.linked()[other.id].skew == -jump
        journal = Journal(one.store, one.postbox, lambda: now["wall"])
        assert await journal.commit(clocks.note) is None
        now["wall"] -= jump
        assert clocks.may_expire()


async def test_what_is_in_time_is_taken_by_one_whose_clock_was_set_back_under_the_link(tmp_path: Path) -> None:
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        await linked(one, other)
        clocks = Clocks(other.mesh.is_linked, other.clock)
        clocks.greeted(one.id, wall_ms())
        other.inbox._may_expire = clocks.may_expire
        other.ahead_ms = -40 * DAY
        await one.post(other.id, "punctual")
        await drained(one)
        assert await other.acted() == ["punctual"] and await one.rows() == []


def test_what_a_peer_said_counts_while_its_link_is_made_anew_for_a_clock_that_was_set() -> None:
    now, up = {"wall": 100 * DAY, "elapsed": DAY}, {"link": True}
    clocks, peer = Clocks(lambda peer: up["link"], lambda: now["wall"], lambda: now["elapsed"]), BrokerId("peer")
    clocks.greeted(peer, now["wall"])
    assert clocks.may_expire()
    now["wall"] += 3 * 3_600_000
    assert not clocks.may_expire()
    clocks.part()
    up["link"] = False
    assert not clocks.may_expire(), "nobody has said that it is right"
    now["elapsed"] += SET_WITHIN_MS
    assert clocks.may_expire(), "nobody is there any more, and it is believed for a week"

"""Store and forward: a holder between two that never meet; what it loses, refuses or invents costs time at worst."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.broker import custody, handing
from relay.core import routing
from relay.core.delivery import Outgoing
from relay.core.errors import PeerFault
from relay.core.kinds import Kind
from relay.store import held, outbox
from relay.store.held import HeldLine, Quota
from relay.testing.bench_node import BenchNode, bench_mesh, drained, linked, until
from relay.testing.carrier import MemoryNetwork
from tests.mesh.conftest import RAW, Three, sealed_for


async def kept_by(node: BenchNode) -> list[HeldLine]:
    return await node.store.all(held.ALL, limit=1_000)


async def is_empty(node: BenchNode) -> bool:
    return not await kept_by(node)


async def test_what_has_no_direct_way_goes_through_the_one_in_the_middle(three: Three) -> None:
    one, middle, other = three
    operations = await one.pour(other.id, 200)
    await drained(one)
    assert sorted(await other.acted()) == sorted(operations) and await middle.acted() == []
    await until(lambda: is_empty(middle), what="an empty holder")
    assert one.mesh.link(other.id) is None


async def test_the_one_who_sends_may_sleep_before_the_other_wakes(three: Three, network: MemoryNetwork) -> None:
    one, middle, other = three
    await other.close()
    operations = await one.pour(other.id, 50)
    await until(lambda: _count(middle, 50), what="custody of all")
    await until(lambda: _all_held(one, middle), what="the origin knows")
    assert await one.waiting() == 50
    await one.close()
    await other.open()
    await until(lambda: _acted(other, operations), what="delivery from the holder")
    await until(lambda: _only_receipts(middle), what="receipts kept for the sleeper")
    await one.open()
    await drained(one)
    await until(lambda: is_empty(middle))


async def _count(node: BenchNode, count: int) -> bool:
    return len(await kept_by(node)) == count


async def _all_held(node: BenchNode, holder: BenchNode) -> bool:
    return all(line.holder == holder.id for line in await node.rows())


async def _acted(node: BenchNode, operations: list[str]) -> bool:
    return sorted(await node.acted()) == sorted(operations)


async def _only_receipts(node: BenchNode) -> bool:
    lines = await kept_by(node)
    return bool(lines) and {line.kind for line in lines} == {Kind.RECEIPT}


async def test_how_often_something_kept_was_handed_over_is_known_over_the_loss_of_a_link(
    three: Three, network: MemoryNetwork
) -> None:
    one, middle, other = three
    other.inbox.is_open = False  # it takes nothing in, so that what is handed to it stays with the holder
    await one.pour(other.id, 1)
    await until(lambda: _count(middle, 1), what="custody")
    (line,) = await kept_by(middle)
    window = middle.mesh.kept_window
    await until(lambda: window(other.id).sends(line.id) == 1, what="the first time")
    network.cut(middle.id, other.id)
    await until(lambda: window(other.id).sends(line.id) == 2, what="the second time")
    other.inbox.is_open = True
    network.cut(middle.id, other.id)
    await drained(one)
    assert window(other.id).sends(line.id) == 0


async def test_what_two_holders_keep_is_handed_over_once_more_one_holder_s_at_a_time(
    tmp_path: Path, network: MemoryNetwork
) -> None:
    """Else what the second has lost would go to it again, while the first is avoided for its own rows."""
    apart = [(0, 1), (0, 2), (0, 3)]
    async with bench_mesh(tmp_path, 4, network, holders=[1, 2], apart=apart) as (one, first, second, other):
        for operation in ("a", "b"):
            await one.post(other.id, operation)
        with_first, with_second = (line.id for line in await one.rows())
        await one.store.write(lambda tx: outbox.held_by(tx, first.id, [with_first], 1))
        await one.store.write(lambda tx: outbox.held_by(tx, second.id, [with_second], 2))
        await one.handing.look()
        assert [line.holder for line in await one.rows()] == [None, second.id]
        await one.handing.look()
        assert [line.holder for line in await one.rows()] == [None, None]


async def test_a_direct_link_takes_over_what_a_holder_keeps(three: Three, network: MemoryNetwork) -> None:
    one, middle, other = three
    await other.close()
    operations = await one.pour(other.id, 50)
    await until(lambda: _count(middle, 50))
    await middle.close()
    network.heal(one.id, other.id)
    await other.open()
    await drained(one)
    assert await _acted(other, operations)
    await middle.open()
    await until(lambda: is_empty(middle), what="the holder to learn that it need not")
    assert await _acted(other, operations)


async def test_a_holder_that_crashes_keeps_what_it_said_it_keeps(three: Three) -> None:
    one, middle, other = three
    await other.close()
    operations = await one.pour(other.id, 20)
    await until(lambda: _all_held(one, middle))
    await middle.restart()
    await other.open()
    await drained(one)
    assert await _acted(other, operations)


async def test_a_holder_that_lost_everything_is_handed_it_again(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that it keeps them, and then its disk was gone: the origin asks again, and nothing acts twice."""
    one, middle, other = three
    await other.close()
    operations = await one.pour(other.id, 20)
    await until(lambda: _all_held(one, middle))
    await middle.store.write(lambda tx: tx.execute("DELETE FROM held"))
    await middle.restart()
    await other.open()
    await linked(one, other)
    monkeypatch.setattr(handing, "hand_over_again", lambda handed: 0)
    await one.handing.look()
    await drained(one)
    assert await _acted(other, operations)


async def test_a_full_holder_refuses_and_is_asked_again_later(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, middle, other = three
    await other.close()
    monkeypatch.setattr(custody, "QUOTA", Quota(5, 1 << 20, 1 << 20))
    operations = await one.pour(other.id, 20)
    await until(lambda: one.outbox.refusals.get(other.id) == (middle.id, str(held.Kept.FULL)))
    assert await _count(middle, 5) and await one.waiting() == 20
    monkeypatch.setattr(custody, "QUOTA", Quota(100, 1 << 20, 1 << 20))
    await one.handing.look()
    await until(lambda: _count(middle, 20), what="custody of all")
    await other.open()
    await drained(one)
    assert await _acted(other, operations)


async def test_a_quota_is_one_origins_own(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    one, middle, other = three
    monkeypatch.setattr(custody, "QUOTA", Quota(5, 1 << 20, 1 << 20))
    await other.close()
    await one.pour(other.id, 20)
    await until(lambda: one.outbox.refusals)
    await one.close()
    await other.open()
    await until(lambda: _only_receipts(middle))
    mine = await other.pour(one.id, 5 - len(await kept_by(middle)))
    await one.open()
    await drained(other)
    assert await _acted(one, mine)


async def test_a_second_holder_is_used_where_the_first_goes_silent(
    tmp_path: Path, network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "SILENT_AFTER", 0)
    monkeypatch.setattr(handing, "SILENT_AFTER", 0)
    async with bench_mesh(tmp_path, 4, network, holders=[1, 2], apart=[(0, 3)]) as (one, first, second, other):
        await until(lambda: len(one.mesh.up) == 2)
        await other.close()
        operations = await one.pour(other.id, 10)
        await until(lambda: _is_kept(one))
        keeper = {line.holder for line in await one.rows()}
        silent, standing = (first, second) if keeper == {first.id} else (second, first)
        assert keeper == {silent.id}
        await silent.close()
        await until(lambda: len(one.mesh.up) == 1)
        await one.handing.look()
        await until(lambda: _all_held(one, standing), what="custody with the second")
        await other.open()
        await drained(one)
        assert await _acted(other, operations)
        await silent.open()
        await until(lambda: is_empty(silent), what="the first to learn that it need not")
        assert await _acted(other, operations)


async def _is_kept(node: BenchNode) -> bool:
    return all(line.holder for line in await node.rows())


async def test_who_is_not_always_on_keeps_only_for_whom_it_is_linked_with(
    tmp_path: Path, network: MemoryNetwork
) -> None:
    async with bench_mesh(tmp_path, 3, network, apart=[(0, 2)]) as (one, middle, other):
        await until(lambda: len(middle.mesh.up) == 2)
        assert not one.mesh.has_way(other.id)
        await one.post(other.id, "waits")
        assert await is_empty(middle) and await one.waiting() == 1
        network.heal(one.id, other.id)
        await drained(one)
        assert await other.acted() == ["waits"]


async def test_a_holder_keeps_only_what_is_the_senders_own(three: Three) -> None:
    one, middle, other = three
    await other.close()
    await one.post(other.id, "an-operation")
    await until(lambda: _count(middle, 1))
    row = (await one.store.all(RAW))[0]
    with pytest.raises(PeerFault):
        await middle.custody.keep(other.id, [row])
    with pytest.raises(PeerFault):
        await middle.custody.keep(one.id, [row[:-1] + bytes([row[-1] ^ 1])])
    assert await middle.custody.keep(one.id, [row]) == [((await one.rows())[0].id, "")]
    assert await _count(middle, 1)


async def test_nobody_is_told_to_forget_what_is_for_another(three: Three) -> None:
    one, middle, other = three
    await other.close()
    await one.pour(other.id, 3)
    await until(lambda: _count(middle, 3))
    middle.custody.taken(middle.id, [line.id for line in await kept_by(middle)])
    await asyncio.sleep(0.1)
    assert await _count(middle, 3)


async def test_what_was_refused_is_asked_for_again_though_something_later_was_kept(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _middle, other = three
    await other.close()
    monkeypatch.setattr(custody, "QUOTA", Quota(100, 20_000, 1 << 20))
    await one.post(other.id, "big", body="x" * 30_000)
    await until(lambda: one.outbox.refusals, what="a refusal")
    monkeypatch.setattr(handing, "EVERY_S", 0.0)
    await one.post(other.id, "small")
    await one.handing.look()
    monkeypatch.setattr(custody, "QUOTA", Quota(100, 1 << 20, 1 << 20))
    await other.open()

    async def arrived() -> bool:
        await one.handing.look()
        return await _acted(other, ["big", "small"])

    await until(arrived, what="both")
    await drained(one)


async def test_a_dead_letter_that_was_held_is_sent_again(three: Three) -> None:
    one, middle, other = three
    await other.close()
    await one.post(other.id, "again")
    await until(lambda: _all_held(one, middle))
    (line,) = await one.rows()
    await one.store.write(lambda tx: outbox.dead_letter(tx, line.id, "poison: five times"))
    await middle.store.write(lambda tx: held.forget(tx, other.id, [line.id]))
    await middle.restart()
    await one.restart()
    parcel = await one.store.write(lambda tx: outbox.retry(tx, line.id))
    assert parcel is not None
    one.outbox.posted(other.id, Outgoing(parcel.n, parcel.id, parcel.envelope, tried=True))
    await other.open()
    await drained(one)
    assert await other.acted() == ["again"]


async def test_what_is_kept_is_handed_over_though_its_origin_went_in_that_moment(three: Three) -> None:
    """The link over which it came ends while the disk still writes: nobody is there to offer it but the writer."""
    one, middle, other = three
    (row,) = [await sealed_for(one, other)]
    keeping = asyncio.ensure_future(middle.custody.keep(one.id, [row]))
    await asyncio.sleep(0)
    keeping.cancel()
    await until(lambda: _acted(other, ["sealed"]), what="delivery")


async def test_a_holder_remembers_nothing_of_the_absent(three: Three) -> None:
    one, middle, other = three
    await other.close()
    await until(lambda: middle.mesh.link(other.id) is None)
    await one.pour(other.id, 40, body="x" * 10_000)
    await until(lambda: _count(middle, 40))
    assert middle.custody.window(other.id)._queued_bytes == 0

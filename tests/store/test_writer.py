"""Group commit: who shares a transaction, who is undone, who is told what."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import Code, LocalFault
from relay.store import events, meta
from relay.store.engine import Store
from relay.store.query import Query, Tx, first_column
from relay.store.writer import MAX_BATCH
from tests.store.specimens import COUNT_EVENTS, Gate, add_event, program


def _add(number: int, size: int = 0) -> Any:
    return lambda tx: add_event(tx, number, size)


async def test_what_is_awaited_can_be_read(store: Store) -> None:
    assert await store.write(_add(7)) == 1
    found = await store.all(events.SINCE, seq=0, limit=10)
    assert [event.data["number"] for event in found] == [7]


async def test_waiting_writes_share_one_transaction(store: Store) -> None:
    gate = Gate(store)
    await gate.held()
    commits: list[str] = []
    trace = lambda tx: tx.set_trace_callback(commits.append)  # noqa: E731
    writes = [asyncio.ensure_future(store.write(op)) for op in (trace, *map(_add, range(200)))]
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*writes)
    await store.write(lambda tx: tx.set_trace_callback(None))
    assert sum(statement == "COMMIT" for statement in commits) == 1
    assert await store.one(COUNT_EVENTS) == 200


async def test_callers_resume_in_the_order_of_their_writes(store: Store) -> None:
    resumed: list[int] = []

    async def caller(number: int) -> None:
        await store.write(_add(number))
        resumed.append(number)

    await asyncio.gather(*map(caller, range(100)))
    assert resumed == list(range(100))


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_failing_op_undoes_itself_alone(store: Store, place: int) -> None:
    def half(tx: Tx) -> None:
        add_event(tx, 99)
        raise KeyError("mine")

    gate = Gate(store)
    await gate.held()
    ops = [_add(1), _add(2)]
    ops.insert(place, half)
    writes = [asyncio.ensure_future(store.write(op)) for op in ops]
    await asyncio.sleep(0)
    await gate.open()
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(answers.pop(place), KeyError)
    assert answers == [1, 2]
    assert await store.one(COUNT_EVENTS) == 2


async def test_what_is_done_lazily_goes_before_its_batch_or_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.writer.LINGER_S", 60.0)  # else it is due with the gate, where that stands long
    gate = Gate(store)
    await gate.held()
    store.write_lazily(_add(3), behind=True)
    store.write_lazily(_add(1))
    write = asyncio.ensure_future(store.write(_taking_along(store, 2)))
    await asyncio.sleep(0)
    await gate.open()
    await write
    assert await _numbers(store) == [1, 2, 3]


def _taking_along(store: Store, number: int) -> Callable[[Tx], object]:
    def op(tx: Tx) -> object:
        store.take_along()
        return _add(number)(tx)

    return op


async def _numbers(store: Store) -> list[int]:
    return [event.data["number"] for event in await store.all(events.SINCE, seq=0, limit=10)]


async def test_what_goes_behind_waits_for_who_takes_it_along(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.store.writer.LINGER_S", 60.0)
    store.write_lazily(_add(3), behind=True)
    await store.write(_add(1))
    assert await _numbers(store) == [1]
    await store.write(_taking_along(store, 2))
    assert await _numbers(store) == [1, 2, 3]


async def test_the_log_is_brought_into_the_file_while_nobody_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.writer.CHECKPOINT_AFTER", 3)
    before = store.path.stat().st_size
    for number in range(50):  # far fewer pages than SQLite would wait for
        await store.write(_add(number, 20_000))
    assert store.path.stat().st_size > before + 40_000


async def test_what_goes_behind_is_done_where_the_store_closes(store: Store) -> None:
    path = store.path
    store.write_lazily(_add(3), behind=True)
    await store.close()
    async with await Store.open(path) as again:
        assert await _numbers(again) == [3]


async def test_what_goes_behind_waits_for_no_other(store: Store) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    store.write_lazily(lambda tx: loop.call_soon_threadsafe(done.set), behind=True)
    await asyncio.wait_for(done.wait(), 10)


@pytest.mark.parametrize("raised", [StopIteration(), asyncio.CancelledError(), SystemExit(3)])
async def test_whatever_an_op_raises_the_writer_lives(store: Store, raised: BaseException) -> None:
    def op(tx: Tx) -> None:
        raise raised

    with pytest.raises((RuntimeError, asyncio.CancelledError, SystemExit)):
        await store.write(op)
    assert await store.write(_add(1)) == 1


async def test_an_error_of_sql_is_told_as_it_is(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await store.write(lambda tx: tx.execute("SELECT * FROM absent"))


async def test_a_cancelled_write_is_whole_and_others_go_on(store: Store) -> None:
    gate = Gate(store)
    await gate.held()

    def two(tx: Tx) -> None:
        add_event(tx, 1)
        add_event(tx, 2)

    cancelled, other = (asyncio.ensure_future(store.write(op)) for op in (two, _add(3)))
    await asyncio.sleep(0)
    cancelled.cancel()
    await gate.open()
    assert await other == 3
    assert cancelled.cancelled()
    assert await store.one(COUNT_EVENTS) == 3


async def test_many_cancellations_at_any_moment_leave_whole_pairs(store: Store) -> None:
    def pair(tx: Tx) -> None:
        add_event(tx, 1)
        add_event(tx, 2)

    async def impatient(number: int) -> None:
        task = asyncio.ensure_future(store.write(pair))
        await asyncio.sleep(number % 7 / 5_000)
        task.cancel()
        await asyncio.wait([task])

    await asyncio.gather(*map(impatient, range(200)))
    await store.write(pair)
    assert (await store.one(COUNT_EVENTS) or 1) % 2 == 0


async def test_a_write_without_a_waiter_is_done_and_its_failure_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_soon(_add(1))
    with caplog.at_level(logging.ERROR):
        store.write_soon(lambda tx: tx.execute("nonsense"))
        await store.write(_add(2))
    assert await store.one(COUNT_EVENTS) == 2
    assert "nobody waits" in caplog.text


async def test_close_commits_what_was_handed_over(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "relay.db")
    writes = [asyncio.ensure_future(store.write(_add(number))) for number in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    assert await asyncio.gather(*writes) == list(range(1, 51))
    for attempt in (store.write(_add(1)), store.one(COUNT_EVENTS)):
        with pytest.raises(LocalFault, match="closed"):
            await attempt
    async with await Store.open(tmp_path / "relay.db") as again:
        assert await again.one(COUNT_EVENTS) == 50


async def test_the_reading_side_cannot_write(store: Store) -> None:
    with pytest.raises(LocalFault):
        await store.all(Query("DELETE FROM events", first_column))


async def test_a_cancelled_read_does_not_spoil_the_next(store: Store) -> None:
    await store.write(_add(1))
    for _ in range(20):
        task = asyncio.ensure_future(store.one(COUNT_EVENTS))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert await store.one(COUNT_EVENTS) == 1


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    for _ in range(3):
        await asyncio.to_thread(_write_and_kill, path)


def _write_and_kill(path: Path) -> None:
    child = program("writing_program", str(path))
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(200)]
    child.kill()
    acknowledged += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.wait(10)
    child.stdout.close()
    asyncio.run(_check_kept(path, acknowledged))


async def _check_kept(path: Path, acknowledged: list[int]) -> None:
    async with await Store.open(path) as store:
        kept = {event.data["number"] for event in await store.all(events.SINCE, seq=0, limit=10**6)}
        assert set(acknowledged) <= kept
        assert await store.integrity(thorough=True) == []
        await store.write(lambda tx: meta.raise_incarnation(tx))
        await store.write(lambda tx: tx.execute("DELETE FROM events"))


async def test_a_flood_is_cut_into_bounded_batches(store: Store) -> None:
    gate = Gate(store)
    await gate.held()
    commits: list[str] = []
    writes = [asyncio.ensure_future(store.write(lambda tx: tx.set_trace_callback(commits.append)))]
    writes += [asyncio.ensure_future(store.write(_add(number))) for number in range(2 * MAX_BATCH)]
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*writes)
    await store.write(lambda tx: tx.set_trace_callback(None))
    assert sum(statement == "COMMIT" for statement in commits) == 3
    assert await store.one(COUNT_EVENTS) == 2 * MAX_BATCH


async def test_an_op_that_breaks_its_savepoint_undoes_the_batch_and_no_more(store: Store) -> None:
    gate = Gate(store)
    await gate.held()
    ops = (_add(1), lambda tx: tx.execute("RELEASE op"), _add(2))
    writes = [asyncio.ensure_future(store.write(op)) for op in ops]
    await asyncio.sleep(0)
    await gate.open()
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert [answer.code for answer in answers if isinstance(answer, LocalFault)] == [Code.STORE_FAULT] * 3
    assert await store.write(_add(3)) == 1
    assert await store.one(COUNT_EVENTS) == 1

"""What fails at its recipient: five tries, over restarts, then a signed NACK; its own trouble never counts."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from relay.broker.inbox import Opened, Pointless
from relay.broker.poison import MAX_POISON
from relay.core.envelope import MAX_LIFE_MS
from relay.core.kinds import KINDS, Kind
from relay.store import refusals
from relay.store.journal import Entry, Letter
from relay.store.outbox import OutboxState
from relay.store.query import Query, first_column
from relay.store.refusals import Refusal, RefusalState
from relay.testing.bench_node import BenchNode, drained, note, until
from tests.mesh.conftest import Pair

pytestmark = pytest.mark.usefixtures("quick_clocks")


class Failing:
    """An act that raises as long as it has something to raise."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.calls = 0

    def __call__(self, entry: Entry, each: Opened) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        note(entry, each)


async def _incoming(node: BenchNode) -> list[Refusal]:
    return await node.store.all(refusals.NEWEST, limit=1_000)


async def _is_refused(node: BenchNode) -> bool:
    return [each.state for each in await _incoming(node)] == [RefusalState.REFUSED]


async def _is_dead(node: BenchNode) -> bool:
    return [line.state for line in await node.rows()] == [OutboxState.DEAD]


async def test_tries_are_counted_over_restarts(pair: Pair) -> None:
    one, other = pair
    other.act = act = Failing(RuntimeError("a defect"))
    await one.post(other.id, "operation")
    for restarts in range(MAX_POISON):
        seen = act.calls
        await until(lambda seen=seen: act.calls > seen)  # type: ignore[misc]
        if restarts < MAX_POISON - 1:
            await other.restart()
    await until(lambda: _is_dead(one))
    # the restart may have let one more try in between; without a count on disk it would be five for each run
    assert MAX_POISON <= act.calls <= 2 * MAX_POISON
    await until(lambda: _is_refused(other))
    (kept,) = await _incoming(other)
    assert (kept.origin, kept.kind) == (one.id, "stop")
    # one that was on its way when it was refused is counted too
    assert MAX_POISON <= kept.tries <= act.calls and "RuntimeError" in kept.reason


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_this_machine_s_trouble_never_counts(pair: Pair, error: Exception) -> None:
    one, other = pair
    other.act = act = Failing(error)
    await one.post(other.id, "operation")
    await until(lambda: act.calls > MAX_POISON + 2)
    assert await _incoming(other) == [] and not await _is_dead(one)
    act.error = None
    await drained(one)
    assert await other.acted() == ["operation"]


async def test_a_value_the_store_refuses_is_a_fault_of_the_envelope(pair: Pair) -> None:
    """Else one bad envelope would keep out for ever all that come in its batch."""
    one, other = pair
    other.act = Failing(sqlite3.IntegrityError("CHECK constraint failed"))
    await one.post(other.id, "operation")
    await until(lambda: _is_dead(one))
    assert (await one.rows())[0].reason.startswith("poison: ")


async def test_what_was_failing_and_is_taken_is_forgotten(pair: Pair) -> None:
    one, other = pair
    other.act = act = Failing(RuntimeError("a defect"))
    await one.post(other.id, "operation")
    await until(lambda: act.calls >= 2)
    (kept,) = await _incoming(other)
    assert kept.state is RefusalState.FAILING
    act.error = None
    await drained(one)
    assert await _incoming(other) == []


async def test_what_is_kept_of_refusals_is_bounded(pair: Pair) -> None:
    one, other = pair
    count = refusals.KEPT_EACH + 20

    def fill(entry: Entry) -> None:
        for at in range(count):
            refusals.refused(entry.tx, one.id, at.to_bytes(16, "big"), "spawn", "no", at)

    await other.journal.commit(fill)
    kept = await _incoming(other)
    assert len(kept) == refusals.KEPT_EACH and max(each.last for each in kept) == count - 1


async def test_what_would_live_too_long_is_refused(pair: Pair) -> None:
    """Its dedupe row could not be forgotten for as long."""
    one, other = pair
    content = dict.fromkeys(KINDS[Kind.STOP].keys, "")
    await one.journal.commit(
        lambda entry: entry.post(Letter(other.id, Kind.STOP, content, "far", MAX_LIFE_MS + 60_000))
    )
    await until(lambda: _is_dead(one))
    assert "32 days" in (await one.rows())[0].reason and await other.acted() == []
    near = Letter(other.id, Kind.STOP, content, "near", MAX_LIFE_MS - 60_000)
    await one.journal.commit(lambda entry: entry.post(near))
    await until(lambda: _has_acted(other))


async def _has_acted(node: BenchNode) -> bool:
    return await node.acted() == ["near"]


async def test_what_has_nothing_to_act_on_is_receipted_and_costs_nothing(pair: Pair) -> None:
    one, other = pair

    def every_third(entry: Entry, each: Opened) -> None:
        if not each.body.operation.endswith(("0", "3", "6", "9")):
            raise Pointless
        note(entry, each)

    other.act = every_third
    operations = await one.pour(other.id, 100)
    await drained(one)
    wanted = [each for each in operations if each.endswith(("0", "3", "6", "9"))]
    assert sorted(await other.acted()) == sorted(wanted)
    for table in ("seen", "effects"):
        assert await other.store.one(Query(f"SELECT count(*) FROM {table}", first_column)) == len(wanted)
    assert await _incoming(other) == []

"""Whose clock decides on what is kept: its recipient's alone; what another one showed delays nothing."""

from __future__ import annotations

import pytest

from relay.broker.envelope_waits import EnvelopeWaits
from relay.broker.notices import Notices
from relay.broker.presence import Attendance
from relay.core.envelope import MAX_LIFE_MS
from relay.core.kinds import Kind
from relay.store import held, outbox
from relay.store.journal import Letter
from relay.testing.bench_node import BenchNode, drained, until, wall_ms
from tests.mesh.conftest import Three

DAY = 86_400_000


async def _keeps(node: BenchNode, count: int) -> bool:
    return len(await node.store.all(held.ALL, limit=1_000)) == count


async def _all_held(node: BenchNode, holder: BenchNode) -> bool:
    return all(line.holder == holder.id for line in await node.rows())


@pytest.mark.parametrize(
    ("life", "holder_ahead", "code"),
    [
        (-1_000, 0, "expired"),
        (-40 * DAY, 0, "expired"),
        (-40 * DAY, 40 * DAY, "expired"),
        (40 * DAY, 0, "expires_late"),
    ],
)
async def test_what_has_no_right_time_is_kept_so_that_its_recipient_can_say_so(
    three: Three, life: int, holder_ahead: int, code: str
) -> None:
    """It was made by a clock that was wrong, or its origin slept: only the recipient's signed word ends it."""
    one, middle, other = three
    await other.close()
    middle.ahead_ms = holder_ahead
    letter = Letter(other.id, Kind.STOP, {"spawn": ""}, "late", life)
    await one.journal.commit(lambda entry: entry.post(letter))
    await until(lambda: _keeps(middle, 1), within=20, what="custody")
    await other.open()
    await until(lambda: _is_dead(one), what="the recipient's word that it came too late")
    (line,) = await one.rows()
    assert line.reason.startswith(code + ":")
    assert await other.acted() == []


@pytest.mark.parametrize("ahead", [40, -40])
async def test_a_holder_whose_clock_is_wrong_keeps_what_is_in_time(three: Three, ahead: int) -> None:
    one, middle, other = three
    await other.close()
    middle.ahead_ms = ahead * DAY
    await one.post(other.id, "punctual")
    await until(lambda: _keeps(middle, 1), within=20, what="custody")
    await other.open()
    await drained(one)
    assert await other.acted() == ["punctual"]


async def _post(node: BenchNode, letter: Letter) -> None:
    await node.journal.commit(lambda entry: entry.post(letter))


async def test_a_holder_keeps_nothing_for_ever_and_what_has_expired_for_its_time(three: Three) -> None:
    one, middle, other = three
    await other.close()
    for operation, life in (("past", -90 * DAY), ("future", 9_000 * DAY)):
        await _post(one, Letter(other.id, Kind.STOP, {"spawn": ""}, operation, life))
    await until(lambda: _keeps(middle, 2), within=20, what="custody")
    assert await middle.store.write(lambda tx: held.expire(tx, wall_ms() - DAY)) == 0
    assert await middle.store.write(lambda tx: held.expire(tx, wall_ms() + MAX_LIFE_MS)) == 2


async def _is_dead(node: BenchNode) -> bool:
    return [line.state for line in await node.rows()] == [outbox.OutboxState.DEAD]


async def test_what_was_handed_over_by_a_clock_that_was_ahead_is_handed_over_again_at_once(three: Three) -> None:
    """Its moment is still to come by the clock that is right: nobody waits for it."""
    one, middle, other = three
    await other.close()
    await one.post(other.id, "operation")
    await until(lambda: _all_held(one, middle), what="the origin knows")
    (line,) = await one.rows()
    await one.store.write(lambda tx: outbox.held_by(tx, middle.id, [line.id], wall_ms() + 40 * DAY))
    attendance = Attendance(one.clock, one.mesh.is_linked, one.mesh.reached_by, lambda peer: None)
    notices = Notices(one.members, one.journal)
    waits = EnvelopeWaits(one.members, one.mesh, one.dialler, attendance, notices, one.clock)
    (line,) = await one.rows()
    assert waits.own(line)[0] == 0.0
    await one.handing.look()
    await until(lambda: _is_held_by_now(one), what="it to be handed over again")


async def _is_held_by_now(node: BenchNode) -> bool:
    return all(line.held_at is not None and line.held_at <= wall_ms() for line in await node.rows())

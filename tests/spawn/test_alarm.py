"""The one timer: the earliest moment counts, and a clock that jumped is believed once somebody looks."""

from __future__ import annotations

import asyncio

from relay.spawn.alarm import Alarm


class _Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000
        self.rung = asyncio.Event()

    def now(self) -> int:
        return self.ms


async def test_it_rings_for_the_earliest_moment() -> None:
    clock = _Clock()
    alarm = Alarm(clock.now, clock.rung.set)
    alarm.no_later_than(clock.ms + 3_600_000)
    alarm.no_later_than(clock.ms)
    await asyncio.wait_for(clock.rung.wait(), 5)
    alarm.close()


async def test_after_a_sleep_it_rings_at_once() -> None:
    clock = _Clock()
    alarm = Alarm(clock.now, clock.rung.set)
    alarm.no_later_than(clock.ms + 3_600_000)
    alarm.no_later_than(None)
    clock.ms += 7_200_000
    alarm.look()
    await asyncio.wait_for(clock.rung.wait(), 5)
    alarm.close()


async def test_a_timer_that_was_early_is_armed_again() -> None:
    clock = _Clock()
    looked = asyncio.Event()

    def now() -> int:
        looked.set()
        return clock.ms

    alarm = Alarm(now, clock.rung.set)
    alarm.no_later_than(clock.ms + 20)
    looked.clear()
    await asyncio.wait_for(looked.wait(), 5)  # the timer went off while the clock stood still
    assert not clock.rung.is_set()
    clock.ms += 20
    await asyncio.wait_for(clock.rung.wait(), 5)
    alarm.close()


async def test_a_closed_one_is_silent() -> None:
    clock = _Clock()
    alarm = Alarm(clock.now, clock.rung.set)
    alarm.close()
    alarm.no_later_than(clock.ms - 1)
    await asyncio.sleep(0)
    assert not clock.rung.is_set()

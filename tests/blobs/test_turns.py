"""Turns at pulling go round the peers; who trickles, or has more than its share, gives way to who waits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from relay.broker.blobs.turns import LEAST_PACE, TURN_S, Turn, Turns
from relay.core.ids import BrokerId

SLOW, FAIR, OTHER = BrokerId("s" * 56), BrokerId("f" * 56), BrokerId("o" * 56)


class Ground:
    """Turns under a clock of the test's own, and those who hold or want one."""

    def __init__(self, at_once: int = 4) -> None:
        self.now = 0.0
        self.turns = Turns(at_once, lambda: self.now)
        self.given: list[BrokerId] = []

    async def hold(self, stack: AsyncExitStack, peer: BrokerId, count: int) -> list[Turn]:
        return [await stack.enter_async_context(self.turns.of(peer)) for _ in range(count)]

    async def want(self, peer: BrokerId) -> None:
        async with self.turns.of(peer):
            self.given.append(peer)

    async def wanting(self, *peers: BrokerId) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.want(peer)) for peer in peers]
        await asyncio.sleep(0)
        return tasks

    def passes(self, turns: list[Turn], pace: int, seconds: float = TURN_S) -> list[bool]:
        """So many seconds at so many bytes a second each; which of the turns are over then."""
        self.now += seconds
        for turn in turns:
            turn.came(int(pace * seconds))
        return [turn.is_over(elsewhere=False) for turn in turns]


async def test_nobody_gives_way_where_nobody_waits() -> None:
    ground = Ground()
    async with AsyncExitStack() as stack:
        held = await ground.hold(stack, SLOW, 4)
        assert ground.passes(held, 0) == [False] * 4
        assert ground.passes(held, 0, 1_000) == [False] * 4


async def test_one_of_a_peer_s_four_turns_goes_to_another_peer_however_fast_it_is() -> None:
    ground = Ground()
    async with AsyncExitStack() as stack:
        held = await ground.hold(stack, FAIR, 4)
        tasks = await ground.wanting(OTHER)
        assert ground.passes(held, 100 * LEAST_PACE, TURN_S / 2) == [False] * 4
        # one waits, so that one of them gives way and not all
        assert ground.passes(held, 100 * LEAST_PACE) == [True, False, False, False]
        assert ground.given == []
    await asyncio.gather(*tasks)
    assert ground.given == [OTHER]


async def test_who_trickles_gives_way_also_to_a_peer_that_has_as_many_turns() -> None:
    ground = Ground(2)
    async with AsyncExitStack() as stack:
        (slow,), (fair,) = await ground.hold(stack, SLOW, 1), await ground.hold(stack, FAIR, 1)
        tasks = await ground.wanting(FAIR)
        assert ground.passes([fair], LEAST_PACE * 2) == [False]
        assert ground.passes([slow], LEAST_PACE // 2) == [True]
    await asyncio.gather(*tasks)


async def test_a_slow_source_is_left_for_another_that_has_the_same() -> None:
    ground = Ground()
    async with AsyncExitStack() as stack:
        (slow,) = await ground.hold(stack, SLOW, 1)
        ground.now += TURN_S
        assert slow.is_over(elsewhere=True)


async def test_the_next_turn_is_of_who_has_fewest_then_of_who_waited_longest() -> None:
    ground = Ground(1)
    async with AsyncExitStack() as stack:
        await ground.hold(stack, SLOW, 1)
        tasks = await ground.wanting(SLOW, SLOW, FAIR, SLOW, OTHER, FAIR)
    await asyncio.gather(*tasks)
    assert ground.given == [FAIR, OTHER, SLOW, FAIR, SLOW, SLOW]


async def test_who_stops_waiting_takes_nothing_along() -> None:
    ground = Ground(1)
    async with AsyncExitStack() as stack:
        await ground.hold(stack, SLOW, 1)
        (first, second) = await ground.wanting(FAIR, OTHER)
        first.cancel()
        await asyncio.wait([first])
    await second
    assert ground.given == [OTHER]
    await ground.want(FAIR)
    assert ground.given == [OTHER, FAIR]


async def test_a_turn_that_comes_as_its_taker_is_cancelled_goes_on_to_the_next() -> None:
    ground = Ground(1)
    stack = AsyncExitStack()
    await ground.hold(stack, SLOW, 1)
    (first, second) = await ground.wanting(FAIR, OTHER)
    await stack.aclose()  # it is given to `first`, which does not run before it is cancelled
    first.cancel()
    await asyncio.wait([first, second])
    assert first.cancelled() and ground.given == [OTHER]

"""What had come over a link before its end is dealt with all the same, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from relay.broker.arrivals import MOST_AFTERWARDS, Arrivals
from relay.broker.mesh import Mesh
from relay.core.ids import BrokerId
from relay.core.link import Take

PEER = BrokerId("a" * 56)


class _Slow(Mesh):
    """A mesh whose intake waits to be let on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken: list[bytes] = []

    async def take(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[bytes]:
        await self.go.wait()
        self.taken += envelopes
        return []


def _arrivals(host: Mesh) -> Arrivals:
    return Arrivals(host, PEER, lambda frame: None, lambda reason: None, lambda size: None)


async def test_who_says_something_and_leaves_has_said_it() -> None:
    host = _Slow()
    arrivals = _arrivals(host)
    arrivals.deal_with(Take((b"last words",)))
    ending = asyncio.create_task(arrivals.finish(30))
    await asyncio.sleep(0)
    host.go.set()
    await ending
    assert host.taken == [b"last words"]


async def test_no_more_than_two_frames_are_kept_for_a_link_that_is_no_more() -> None:
    host = _Slow()
    arrivals = _arrivals(host)
    half = bytes(MOST_AFTERWARDS // 2)
    for _ in range(10):
        arrivals.deal_with(Take((half,)))
    host.go.set()
    await arrivals.finish(30)
    assert len(host.taken) == 2


async def test_what_cannot_be_dealt_with_is_not_waited_for_for_ever() -> None:
    host = _Slow()
    arrivals = _arrivals(host)
    arrivals.deal_with(Take((b"stuck",)))
    await arrivals.finish(0.05)
    host.go.set()
    await asyncio.sleep(0.01)
    assert host.taken == []

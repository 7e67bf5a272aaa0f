"""Live looks between two that are linked: what is lost with its link is asked again over the next one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from relay.broker.inbox import Opened
from relay.broker.looks import Looks, Seen, Telling, Told
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.testing.bench_node import bench_pair, linked, until
from relay.testing.carrier import MemoryNetwork

WITHIN_S = 20.0


class Answering:
    """Answers looks with one item, and counts them."""

    def __init__(self) -> None:
        self.gathered = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def gather(self, origin: BrokerId, content: dict[str, Any]) -> Told:
        self.gathered += 1
        await self.go_on.wait()
        return Told([{"k": 1}])


@pytest.mark.parametrize("is_heard", [False, True])
async def test_what_its_link_took_along_is_asked_again(tmp_path: Path, is_heard: bool) -> None:
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        await linked(one, other)
        looks: Looks[object] = Looks(one.mesh, Kind.REVIEW_ASK, "a look", lambda item, _: item, WITHIN_S)
        answering = Answering()
        telling = Telling(other.mesh, Kind.REVIEW_LIST, "a look", answering.gather)
        came: list[Opened] = []

        def asked(each: Opened) -> None:
            came.append(each)
            if is_heard or len(came) > 1:
                telling.asked(each)

        if is_heard:
            answering.go_on.clear()  # it is still at it as it is asked again
        one.hears, other.hears = {Kind.REVIEW_LIST: looks.heard}, {Kind.REVIEW_ASK: asked}
        look, began = asyncio.ensure_future(looks.at(other.id)), time.monotonic()
        await until(lambda: came)
        one.mesh.drop(other.id, "for the test")
        await until(lambda: len(came) > 1)
        answering.go_on.set()
        assert await look == Seen([{"k": 1}])
        assert answering.gathered == 1 and time.monotonic() - began < WITHIN_S
        telling.close()


async def test_how_many_more_there_are_is_told(tmp_path: Path) -> None:
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        await linked(one, other)
        looks: Looks[object] = Looks(one.mesh, Kind.REVIEW_ASK, "a look", lambda item, _: item, WITHIN_S)
        counts: list[Any] = [7, 0, "many", -1, True]

        async def gather(origin: BrokerId, content: dict[str, Any]) -> Told:
            return Told([{"k": 1}], more=counts.pop(0))

        telling = Telling(other.mesh, Kind.REVIEW_LIST, "a look", gather)
        one.hears, other.hears = {Kind.REVIEW_LIST: looks.heard}, {Kind.REVIEW_ASK: telling.asked}
        found = [await looks.at(other.id) for _ in range(len(counts))]
        assert found == [Seen([{"k": 1}], more=more) for more in (7, 0, 0, 0, 0)]
        telling.close()


async def test_of_many_looks_at_once_each_is_answered(tmp_path: Path) -> None:
    """A broker answers one at a time of another, and drops what comes meanwhile: its asker waits for its turn."""
    network = MemoryNetwork()
    async with bench_pair(tmp_path, network) as (one, other):
        await linked(one, other)
        looks: Looks[object] = Looks(one.mesh, Kind.REVIEW_ASK, "a look", lambda item, _: item, WITHIN_S)
        answering = Answering()
        telling = Telling(other.mesh, Kind.REVIEW_LIST, "a look", answering.gather)
        one.hears, other.hears = {Kind.REVIEW_LIST: looks.heard}, {Kind.REVIEW_ASK: telling.asked}
        answering.go_on.clear()
        asked = [asyncio.ensure_future(looks.at(other.id)) for _ in range(8)]
        await until(lambda: answering.gathered == 1)
        answering.go_on.set()
        async with asyncio.timeout(WITHIN_S / 2):
            assert await asyncio.gather(*asked) == [Seen([{"k": 1}])] * 8
        # who gives up is passed over, and who is away is waited for by none of those who come
        asked, gathered = [asyncio.ensure_future(looks.at(other.id)) for _ in range(3)], answering.gathered
        asked.pop(1).cancel()
        assert await asyncio.gather(*asked) == [Seen([{"k": 1}])] * 2 and answering.gathered == gathered + 2
        answering.go_on.clear()
        asked = [asyncio.ensure_future(looks.at(other.id))]
        await until(lambda: answering.gathered == gathered + 3)
        network.partition(one.id, other.id)
        network.cut(one.id, other.id)
        await until(lambda: not one.mesh.up, what="the link to be gone")
        async with asyncio.timeout(WITHIN_S / 2):
            assert await looks.at(other.id) is None
        asked[0].cancel()
        telling.close()

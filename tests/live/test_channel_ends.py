"""Channels between brokers end with what they came by, and find another way where theirs leads nowhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.broker.channel import Conversation, Message
from relay.broker.channels import ATTACH, Channels
from relay.core.errors import RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.testing.bench_node import BenchNode, until
from relay.testing.carrier import MemoryNetwork
from tests.live.test_log_streams import cut_off, through


class Served:
    """Channels of one broker; what it serves says hello and then waits for the end."""

    def __init__(self, node: BenchNode) -> None:
        self.node = node
        self.open = 0
        self.channels = Channels(ATTACH, node.mesh, self._serve)
        node.hears = self.channels.hears
        node.on_link = self.channels.link_changed

    async def _serve(self, channel: Conversation, origin: BrokerId, spawn: str, ask: Message) -> None:
        self.open += 1
        try:
            await channel.send({"k": "hello"})
            while await channel.receive() is not None:
                pass
        finally:
            self.open -= 1


async def test_what_a_broker_had_open_before_it_was_started_anew_ends(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with through(tmp_path, network) as (asker, middle, target):
        served, asking = Served(target), Served(asker)
        await asking.channels.open(target.id, "s", {})
        assert served.open == 1
        await cut_off(network, asker, middle)  # it dies: nothing is said
        asking.channels.close()
        await asker.restart()
        network.heal(asker.id, middle.id)
        asker.dialler.poke()
        await until(lambda: asker.mesh.up, what="the way")
        await Served(asker).channels.open(target.id, "s", {})
        await until(lambda: served.open == 1, 10, "the earlier one to end long before its silence is noticed")


async def test_an_end_that_is_forgotten_is_answered_by_a_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.broker.channel.ALIVE_S", 0.1)
    network = MemoryNetwork()
    async with through(tmp_path, network) as (asker, middle, target):
        served, asking = Served(target), Served(asker)
        channel = await asking.channels.open(target.id, "s", {})
        await cut_off(network, asker, middle)
        channel.close()  # lost
        network.heal(asker.id, middle.id)
        asker.dialler.poke()
        await until(lambda: served.open == 0, 10, "the channel to end long before its silence is noticed")


async def test_an_opening_that_was_dropped_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.broker.channels.ASK_AGAIN_S", 0.2)
    network = MemoryNetwork()
    async with through(tmp_path, network) as (asker, middle, target):
        served, asking = Served(target), Served(asker)
        dropped: list[object] = []

        def drop_one(*handed: object) -> None:
            dropped.append(handed)
            middle.mesh.pass_on = honest  # type: ignore[method-assign]

        honest = middle.mesh.pass_on
        middle.mesh.pass_on = drop_one  # type: ignore[method-assign, assignment]
        async with asyncio.timeout(20):
            await asking.channels.open(target.id, "s", {})
        assert len(dropped) == 1 and served.open == 1


async def test_the_next_one_takes_another_way_than_one_that_was_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.broker.channel.ALIVE_S", 0.3)
    # this process may get no turn for seconds, in which the honest one is silent too
    monkeypatch.setattr("relay.broker.channel.SILENCE_S", 5.0)
    network = MemoryNetwork()
    async with through(tmp_path, network, 2) as (asker, one, two, target):
        served, asking = Served(target), Served(asker)
        chosen = asker.mesh.way_link(target.id)
        assert chosen is not None
        liar = one if chosen.peer == one.id else two
        liar.mesh.pass_on = lambda peer, envelopes: None  # type: ignore[method-assign]
        with pytest.raises(Unreachable, match="broke off"):
            await asking.channels.open(target.id, "s", {})
        try:
            channel = await asking.channels.open(target.id, "s", {})
        except RelayError as error:
            pytest.fail(f"not by the honest one: {error}")
        assert served.open == 1 and not channel.has_ended


async def test_a_pull_that_is_silent_has_the_next_pieces_come_by_another(tmp_path: Path) -> None:
    async with through(tmp_path, MemoryNetwork(), 2) as (asker, _, _, target):
        before = asker.mesh.way_link(target.id)
        asker.mesh.probe(target.id)
        after = asker.mesh.way_link(target.id)
        assert before is not None and after is not None and after.peer != before.peer
        asker.mesh.probe(target.id)
        assert asker.mesh.way_link(target.id) is before  # who was silent longest ago

"""Members find one another by multicast on loopback; who is no member sees a service without a name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from relay.broker.mdns import MAX_FOUND, SERVICE, LocalNetwork
from relay.core.ids import BrokerId
from relay.testing.bench_node import until
from relay.trust.identity import Identity
from relay.trust.local_tag import local_tag
from relay.trust.workspace import Workspace
from tests.trust.seeds import HOME, LAPTOP, OTHER, ROOT, STRANGER, VPS

LOOPBACK = ("127.0.0.1",)
MEMBERS = [LAPTOP.id, VPS.id]


class Side:
    """One broker on the local network."""

    def __init__(
        self, identity: Identity, *told: str, workspace: Workspace = HOME, interfaces: tuple[str, ...] = LOOPBACK
    ) -> None:
        self.told, self.workspace = list(told), workspace
        self.found: list[tuple[BrokerId, tuple[str, ...]]] = []
        self.network = LocalNetwork(
            identity.id,
            lambda broker: local_tag(workspace, broker),
            lambda: MEMBERS,
            lambda: self.told,
            lambda peer, addresses: self.found.append((peer, addresses)),
            interfaces,
        )


@pytest.fixture
async def sides() -> AsyncIterator[list[Side]]:
    """Two members and one of another workspace; what another run of tests announces is of none of them."""
    home = Workspace.create(os.urandom(32), "home", ROOT, os.urandom(16))
    made = [
        Side(LAPTOP, "127.0.0.1:7411", workspace=home),
        Side(VPS, "127.0.0.1:7500", "127.0.0.1:7600", workspace=home),
        Side(STRANGER, "127.0.0.1:7700", workspace=OTHER),
    ]
    await asyncio.gather(*(side.network.refresh() for side in made))
    if any(side.network._zeroconf is None for side in made):
        pytest.skip("this machine has no multicast on loopback")
    yield made
    await asyncio.gather(*(side.network.close() for side in made))


async def test_members_find_one_another_and_hear_goodbye(sides: list[Side]) -> None:
    laptop, vps, stranger = sides
    await until(lambda: (VPS.id, ("127.0.0.1:7500",)) in laptop.found, what="vps found by laptop")
    await until(lambda: (LAPTOP.id, ("127.0.0.1:7411",)) in vps.found, what="laptop found by vps")
    assert stranger.found == []
    # it listens elsewhere from now on
    vps.told = ["127.0.0.1:7900"]
    await vps.network.refresh()
    await until(lambda: (VPS.id, ("127.0.0.1:7900",)) in laptop.found, what="the new place found")
    await vps.network.close()
    await until(lambda: laptop.found[-1] == (VPS.id, ()), what="the goodbye")


async def test_what_is_announced_names_nobody(sides: list[Side]) -> None:
    seen: set[str] = set()
    infos: list[AsyncServiceInfo] = []
    zeroconf = AsyncZeroconf(interfaces=list(LOOPBACK))

    def note(zeroconf: object, service_type: str, name: str, state_change: object) -> None:
        seen.add(name)

    browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[note])
    home = sides[0].workspace
    wanted = {f"{local_tag(home, broker)}.{SERVICE}" for broker in MEMBERS}
    await until(lambda: wanted <= seen, what="both announced")
    for name in wanted:
        info = AsyncServiceInfo(SERVICE, name)
        assert await info.async_request(zeroconf.zeroconf, 20_000)
        infos.append(info)
    await browser.async_cancel()
    await zeroconf.async_close()
    for info in infos:
        tag = info.name.partition(".")[0]
        assert info.server == f"{tag}.local." and not info.properties
        # without the tag, which is random: any three letters may stand in it
        told = repr((info.name, info.server, info.text)).lower().replace(tag, "")
        assert not any(word in told for word in ("home", "laptop", "vps", LAPTOP.id[:8], VPS.id[:8], home.id))


def answer(*addresses: str, port: int = 7411) -> AsyncServiceInfo:
    return AsyncServiceInfo(SERVICE, f"x.{SERVICE}", port, parsed_addresses=list(addresses), server="x.local.")


def test_only_addresses_of_a_network_are_taken() -> None:
    network = Side(LAPTOP, interfaces=()).network
    wild = answer("127.0.0.1", "169.254.1.1", "0.0.0.0", "192.168.1.5", "::1", "fe80::1", "fd7a::5")
    assert set(network._usable(wild)) == {"192.168.1.5:7411", "[fd7a::5]:7411"}
    assert len(network._usable(answer(*(f"10.0.0.{at}" for at in range(1, 99))))) == MAX_FOUND


def test_a_broker_on_loopback_alone_announces_nothing() -> None:
    assert Side(LAPTOP, "127.0.0.1:7411", interfaces=()).network._instance() is None


async def test_where_there_is_no_multicast_it_is_said_and_left() -> None:
    side = Side(LAPTOP, "203.0.113.7:7411", interfaces=("203.0.113.7",))
    await side.network.refresh()
    await side.network.refresh()
    await side.network.close()
    assert side.found == []

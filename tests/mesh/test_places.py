"""Where a member may be: which hints are taken, in which order they are dialled, and which never are."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.carrier import Carrier
from relay.broker.places import MAX_DIALLED, Hint, Places, Source, is_own
from relay.broker.racing import STAGGER_S, first
from relay.core.addresses import is_only_local
from relay.core.errors import RelayError, Unreachable
from relay.core.hello import MAX_ADDRESSES
from relay.core.ids import BrokerId
from relay.testing.bench_node import until

VPS, MINI = BrokerId("v" * 56), BrokerId("m" * 56)
NOW = 1_800_000_000_000
LATER = NOW + 60_000


def places(own: tuple[str, ...] = (), **configured: tuple[str, ...]) -> Places:
    return Places(configured, lambda broker: ["vps"] if broker == VPS else [], lambda address: address in own)


def addresses(found: Places, *others: Hint, peer: BrokerId = VPS, now: int = NOW) -> list[str]:
    return [hint.address for hint in found.order(peer, others, now)]


def test_what_worked_comes_first_then_what_was_written_then_the_freshest() -> None:
    found = places(vps=("written:1",))
    found.learn(VPS, Source.MDNS, ["10.0.0.1:1"], NOW - 10, LATER)
    found.learn(VPS, Source.TAILSCALE, ["100.64.0.1:1"], NOW - 5, LATER)
    stored = Hint("old:1", Source.LINK, NOW - 1_000)
    assert addresses(found, stored) == ["written:1", "100.64.0.1:1", "10.0.0.1:1", "old:1"]
    found.linked(VPS, "old:1", dialled=True, now=NOW)
    assert addresses(found, stored)[:2] == ["old:1", "written:1"]
    assert found.order(VPS, [stored], NOW)[0].worked == NOW
    # the other side's port of a link that it dialled leads nowhere
    found.linked(VPS, "10.0.0.1:1", dialled=False, now=NOW)
    assert addresses(found, stored)[0] == "old:1"
    assert addresses(found, peer=MINI) == []


def test_hints_expire_but_the_last_ones_are_better_than_none() -> None:
    found = places()
    found.learn(VPS, Source.MDNS, ["10.0.0.1:1"], NOW, LATER)
    stale = Hint("old:1", Source.LINK, NOW - 9, NOW - 1)
    assert addresses(found, stale) == ["10.0.0.1:1"]
    assert addresses(found, stale, now=LATER) == ["10.0.0.1:1", "old:1"]


def test_a_source_says_its_last_word_and_no_more_than_it_may() -> None:
    found = places()
    assert found.learn(VPS, Source.MDNS, ["10.0.0.1:1", "no address", "10.0.0.1:1"], NOW, LATER) is True
    assert found.learn(VPS, Source.MDNS, ["10.0.0.1:1"], NOW, LATER) is False
    assert found.learn(VPS, Source.MDNS, [f"10.0.1.{at}:1" for at in range(99)], NOW, LATER) is True
    assert len(addresses(found)) == MAX_ADDRESSES
    many = [Hint(f"10.0.2.{at}:1", Source.RECORD, NOW) for at in range(MAX_ADDRESSES)]
    assert len(addresses(found, *many)) == MAX_DIALLED
    found.unlearn(VPS, Source.MDNS)
    assert addresses(found) == []


@pytest.mark.parametrize("source", [Source.RECORD, Source.TAILSCALE])
def test_what_others_say_of_loopback_is_not_believed(source: Source) -> None:
    texts = ("127.0.0.1:1", "[::1]:1", "169.254.1.1:1", "[fe80::1]:1", "localhost:1")
    local = [Hint(each, source, NOW) for each in texts]
    found = places()
    assert addresses(found, *local, Hint("10.0.0.1:1", source, NOW)) == ["10.0.0.1:1"]
    found.linked(VPS, "127.0.0.1:40000", dialled=False, now=NOW)
    assert "127.0.0.1:1" in addresses(found, *local)
    # a link from elsewhere says that it is not on this machine, or not any more
    found.linked(VPS, "10.0.0.9:40000", dialled=False, now=NOW)
    assert addresses(found, *local) == []
    assert addresses(places(vps=("127.0.0.1:1",))) == ["127.0.0.1:1"]


def test_this_broker_is_never_dialled() -> None:
    found = places(own=("10.0.0.1:7411",), vps=("10.0.0.1:7411", "10.0.0.2:7411"))
    assert addresses(found, Hint("10.0.0.1:7411", Source.LINK, NOW)) == ["10.0.0.2:7411"]


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("10.0.0.1:7411", True),
        ("10.0.0.1:7412", False),
        ("127.0.0.1:7411", True),
        ("localhost:7411", True),
        ("127.0.0.1:7412", False),
        ("10.0.0.2:7411", False),
    ],
)
def test_what_is_this_broker_s_own(address: str, own: bool) -> None:
    assert is_own(address, ["0.0.0.0:7411"], ["10.0.0.1:7411"]) is own


def test_one_port_on_one_address_is_another_broker_s_on_loopback() -> None:
    assert not is_own("127.0.0.1:7411", ["10.0.0.1:7411"], ["10.0.0.1:7411"])


@pytest.mark.parametrize(
    "text", ["127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "0.0.0.0:1", "a.localhost:1", "224.0.0.1:1"]
)
def test_only_local(text: str) -> None:
    assert is_only_local(text) and not is_only_local("vps.example:1") and not is_only_local("[fd7a::1]:1")


def test_forgetting() -> None:
    found = places()
    found.learn(VPS, Source.MDNS, ["10.0.0.1:1"], NOW, LATER)
    found.linked(VPS, "127.0.0.1:5", dialled=True, now=NOW)
    found.forget(VPS)
    assert addresses(found) == [] and not found.is_here(VPS)


# dialling several


class Connection:
    """Stands for a carrier: it only has to be closed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class Dials:
    """Addresses that answer after so many seconds, or never (None), or refuse at once (negative)."""

    def __init__(self, **after: float | None) -> None:
        self.after = after
        self.tried: list[str] = []
        self.made: list[Connection] = []
        self.failed: list[str] = []
        self.ended: list[str] = []

    async def attempt(self, address: str) -> Carrier:
        self.tried.append(address)
        seconds = self.after[address]
        try:
            await asyncio.sleep(3_600 if seconds is None else max(seconds, 0))
        finally:
            self.ended.append(address)
        if seconds is not None and seconds < 0:
            raise Unreachable("refused")
        self.made.append(Connection(address))
        return self.made[-1]  # type: ignore[return-value]

    async def race(self, enough: asyncio.Event | None = None) -> Carrier | None:
        def note(address: str, error: RelayError) -> None:
            self.failed.append(address)

        return await first(self.attempt, list(self.after), note, enough or asyncio.Event())


async def test_the_first_that_answers_wins_and_a_slow_one_holds_nobody_up() -> None:
    dials = Dials(a=-1, b=None, c=0.01, d=0)
    carrier = await asyncio.wait_for(dials.race(), 20)
    assert carrier is dials.made[0] and dials.made[0].address == "c"  # type: ignore[comparison-overlap]
    assert dials.tried == ["a", "b", "c"] and dials.failed == ["a"] and dials.ended == ["a", "c", "b"]


async def test_of_two_that_answer_at_once_one_is_closed() -> None:
    dials = Dials(a=STAGGER_S + 0.001, b=0.0)
    made = await dials.race()
    assert [each.closed for each in dials.made] == [each is not made for each in dials.made]  # type: ignore[comparison-overlap]


async def test_when_none_answers_there_is_none() -> None:
    dials = Dials(a=-1, b=-1)
    assert await dials.race() is None and dials.failed == ["a", "b"]
    assert await Dials().race() is None


async def test_news_end_the_race() -> None:
    dials, enough = Dials(a=None, b=None), asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, enough.set)
    assert await asyncio.wait_for(dials.race(enough), 20) is None
    assert dials.ended == dials.tried == ["a"]


async def test_who_is_cancelled_leaves_nothing() -> None:
    dials = Dials(a=None)
    task = asyncio.ensure_future(dials.race())
    await until(lambda: dials.tried)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert dials.ended == ["a"]

"""Both ends of a direct way around a real shim, without their brokers: offers, what ends them, and who shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from relay.broker.carrier import Ends
from relay.broker.channel import Message
from relay.broker.direct_way import DirectWay, listens_at, reached_at
from relay.broker.pipe import pair
from relay.cli import direct as client
from relay.cli.direct import Direct
from relay.core.errors import PeerFault
from relay.core.wishes import Wishes
from relay.spawn import door, launcher
from tests.spawn.conftest import yard
from tests.spawn.test_direct_way import PATIENT
from tests.spawn.yard import Run, Yard, edited, until

__all__ = ["yard"]
TYPIST = b"typist".ljust(16, b".")
RAW = "stty raw -echo; echo ready; exec cat"


@pytest.fixture(autouse=True, scope="module")
def _patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Both ends wait for each other however long that takes here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launcher, "_ENTRY", edited(tmp_path_factory.mktemp("patient"), *PATIENT))
        patched.setattr(door, "_PORT_S", 60.0)
        for patience in ("OPENS_S", "SILENT_S"):
            patched.setattr(client, patience, 60.0)
        yield


@pytest.mark.parametrize(
    ("ends", "listening", "found"),
    [
        (None, ("127.0.0.1:7411",), None),
        (Ends("100.64.0.1", "100.64.0.2", False), (), "100.64.0.1"),
        (Ends("100.64.0.1", "100.64.0.2", True), ("127.0.0.1:7411", "100.64.0.1:7411"), "100.64.0.1"),
        (Ends("192.0.2.7", "100.64.0.2", True), ("127.0.0.1:7411", "100.64.0.1:7411"), None),
        (Ends("192.0.2.7", "192.0.2.8", True), ("0.0.0.0:7411",), "192.0.2.7"),
        (Ends("::1", "::1", True), ("[::1]:7411",), "::1"),
        (Ends("2001:db8::1", "2001:db8::2", True), ("[::]:7411",), "2001:db8::1"),
        (Ends("2001:db8::1", "2001:db8::2", True), ("0.0.0.0:7411",), None),  # each family has its own wildcard
        (Ends("192.0.2.7", "192.0.2.8", True), ("[::]:7411",), None),
    ],
)
def test_a_shim_listens_where_its_broker_does(ends: Ends | None, listening: tuple[str, ...], found: str | None) -> None:
    assert listens_at(ends, listening) == found


@pytest.mark.parametrize(
    ("ends", "offered", "found"),
    [
        (None, "192.0.2.7", None),
        (Ends("10.0.0.2", "192.0.2.7", True), "10.1.1.1", "192.0.2.7"),
        (Ends("192.0.2.1", "192.0.2.7", False), "192.0.2.7", "192.0.2.7"),
        (Ends("192.0.2.1", "198.51.100.1", False), "10.1.1.1", None),  # it came through somebody's NAT
    ],
)
def test_nobody_goes_where_the_link_did_not(ends: Ends | None, offered: str, found: str | None) -> None:
    assert reached_at(ends, offered) == found


class Row:
    """As much of a spawn as is looked at."""

    attempt = 3

    wishes = Wishes(tty=True)


class Both:
    """The two ends, and what they say to each other over the link."""

    def __init__(self, address: str) -> None:
        ours, theirs = pair()
        self.link, self.may_type = ours, True
        self.way = DirectWay(theirs, address, TYPIST, lambda: self.may_type)
        self.said: list[Message] = []
        self.told: list[Message] = []
        self.shown: list[dict[str, Any]] = []
        self.answered: list[tuple[int, bool]] = []
        self.moved = 0
        self.client = Direct(TYPIST, self._say, self.shown.append, self._answer, self._move)

    def _answer(self, n: int, took: bool) -> None:
        self.answered.append((n, took))

    def _say(self, message: Message) -> None:
        self.said.append(message)
        self.way.heeds(message)

    def _move(self) -> None:
        self.moved += 1

    @property
    def data(self) -> bytes:
        return b"".join(each["data"] for each in self.shown if "data" in each)

    async def until(self, condition: Any) -> None:
        async def hear() -> None:
            while (message := await self.link.receive()) is not None:
                self.told.append(message)
                self.client.told(message["k"], message)

        hearing = asyncio.create_task(hear())

        def turned() -> bool:
            line = self.client.line
            if line is not None and any(select.select([line], [line] if line.wants_to_write else [], [], 0)):
                self.client.serve()
            return bool(condition())

        try:
            await until(turned)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


@contextlib.asynccontextmanager
async def attached(yard: Yard, address: str = "127.0.0.1") -> AsyncIterator[tuple[Run, door.Door, Both]]:
    run = await yard.sh(RAW, terminal=(24, 80))
    await run.says("ready")
    both = Both(address)
    async with door.opened(run.attempt.folder) as opened:
        async with both.way.along(opened, Row()):  # type: ignore[arg-type]
            yield run, opened, both
        both.client.drop()
    run.attempt.request_stop()
    await run.exit()


def place(run: Run) -> int:
    """Where the log ends, as the third attempt's."""
    return 2 * (1 << 40) + run.attempt.log.stat().st_size


async def test_it_shows_from_where_the_link_has_come_to_and_the_link_goes_on_where_it_ends(yard: Yard) -> None:
    async with attached(yard) as (run, opened, both):
        await both.until(lambda: both.client.types)
        assert both.moved == 1 and not both.client.shows
        before, size = place(run), run.attempt.log.stat().st_size
        both.client.type(1, b"one", alone=True)
        await both.until(lambda: both.answered == [(1, True)] and run.attempt.log.stat().st_size > size)
        assert both.data == b"" and both.said == []
        assert both.client.is_new(before)
        both.client.follow()
        await both.until(lambda: both.data == b"one")
        assert both.said == [{"k": "aside"}] and both.client.shows
        # what the link brings late, of what was shown meanwhile, is not new
        assert both.client.place == place(run) and not both.client.is_new(place(run))
        again = asyncio.create_task(both.way.back())
        both.client.drop()
        assert both.said[1:] == [{"k": "show", "next": place(run)}] and both.moved == 2
        assert await again == place(run)
        await both.until(lambda: {"k": "show", "next": place(run)} in both.told)
        await opened.feed(2, b"two", TYPIST)
        await until(lambda: run.output().endswith("onetwo"))
        assert both.client.is_new(place(run))


async def test_a_link_over_ipv6_is_gone_past_over_ipv6(yard: Yard) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with attached(yard, "::1") as (run, _, both):
        await both.until(lambda: both.client.types)
        assert both.client.line is not None
        with socket.socket(fileno=os.dup(both.client.line.fileno())) as same:
            assert same.family == socket.AF_INET6 and same.getpeername()[0] == "::1"
        both.client.type(1, b"one", alone=True)
        await both.until(lambda: both.answered == [(1, True)] and run.output().endswith("one"))


async def test_what_may_be_typed_changes_and_the_way_with_it(yard: Yard) -> None:
    async with attached(yard) as (run, _, both):
        await both.until(lambda: both.client.types)
        first = both.client.line
        both.may_type = False
        both.way.changed()
        await both.until(lambda: both.client.line is not first and both.client.line is not None and both.client._is_up)
        assert not both.client.types
        both.may_type = True  # nobody says so: it is looked at
        await both.until(lambda: both.client.types)
        offers = [each.get("types") for each in both.told if each["k"] != "show"]
        assert offers == [True, None, False, None, True]
        assert not run.output().endswith("x")


@pytest.mark.parametrize("lasts_s", [0.0, 60.0])
async def test_one_that_lasted_is_worth_another(yard: Yard, monkeypatch: pytest.MonkeyPatch, lasts_s: float) -> None:
    monkeypatch.setattr(client, "LASTS_S", lasts_s)
    async with attached(yard) as (_, _, both):
        await both.until(lambda: both.client.types)
        line = both.client.line
        assert line is not None
        with socket.socket(fileno=os.dup(line.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
        await both.until(lambda: both.client.line is not line)
        assert both.said == ([{"k": "direct"}] if not lasts_s else [])
        if not lasts_s:
            await both.until(lambda: both.client.types)


async def test_one_that_is_not_up_in_time_is_asked_for_twice_more(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "OPENS_S", 0.0)
    async with attached(yard) as (_, _, both):

        def has_given_up() -> bool:
            both.client.tend(waits=False)
            offers = [each for each in both.told if each["k"] == "direct"]
            return len(offers) == 3 and both.client.line is None

        await both.until(has_given_up)
        assert both.said == [{"k": "direct"}] * 2 and not both.moved


async def test_a_place_of_another_attempt_is_no_place(yard: Yard) -> None:
    async with attached(yard) as (_, _, both):
        for wrong in (-1, True, None, "7", 0, 1 << 41 | 1 << 42, 1 << 53):
            both.way.heeds({"k": "aside"})
            with pytest.raises(PeerFault):
                both.way.heeds({"k": "show", "next": wrong})
        both.way.heeds({"k": "show", "next": 2 << 40})
        assert await both.way.back() == 2 << 40

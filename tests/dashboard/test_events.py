"""The socket of events: who may listen, what is told, where it goes on, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import sys
import time
from collections.abc import Iterator

import pytest

from relay import __version__
from relay.dashboard.sockets import BAD_REQUEST, GOING, MAX_MESSAGE, NO_SCOPE, NO_TOKEN
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.dashboard.browser import Browser, Socket
from tests.dashboard.conftest import served


def _run(browser: Browser) -> str:
    with browser.node.control() as opened:
        made = opened.spawn(sys.executable, "-c", "", cwd=str(browser.node.work))
    return str(made["id"])


def _told(browser: Browser, since: int) -> list[dict[str, object]]:
    answer = browser.ask("GET", f"/api/v1/events?since={since}")
    return [json.loads(line) for line in answer.data.splitlines()]


async def test_it_says_who_speaks_and_then_what_happens_as_the_api_tells_it(browser: Browser) -> None:
    async with browser.events() as events:
        hello = await events.next()
        assert hello["kind"] == "hello"
        assert hello["broker"]["name"] == "laptop"
        assert (hello["version"], hello["device"]["id"]) == (__version__, browser.device["id"])
        spawn = await asyncio.to_thread(_run, browser)
        found = [await events.next()]
        while found[-1].get("spawn") != spawn:
            found.append(await events.next())
    assert found[-1]["kind"] == "spawn.state"
    assert found == (await asyncio.to_thread(_told, browser, hello["seq"]))[: len(found)]


async def test_it_goes_on_by_number(browser: Browser) -> None:
    async with browser.events() as events:
        first = (await events.next())["seq"]
    spawn = await asyncio.to_thread(_run, browser)
    async with browser.events(first) as events:
        assert (await events.next())["seq"] > first
        assert await _until(events, spawn) > first


async def test_numbers_of_another_store_are_told_from_this_one_s(browser: Browser) -> None:
    async with browser.events(2**50) as events:
        hello = await events.next()
        assert await events.next() == {"kind": "reset", "seq": hello["seq"]}
        spawn = await asyncio.to_thread(_run, browser)
        await _until(events, spawn)


async def _until(events: Socket, spawn: str) -> int:
    """The number of the first event of this spawn."""
    while (event := await events.next()).get("spawn") != spawn:
        pass
    return int(event["seq"])


@pytest.mark.parametrize(
    ("first", "code"),
    [("no json", BAD_REQUEST), ([], BAD_REQUEST), ({}, NO_TOKEN), ({"token": 1}, NO_TOKEN), ({"token": "x"}, NO_TOKEN)],
)
async def test_a_first_message_without_a_token_ends_it(browser: Browser, first: object, code: int) -> None:
    async with browser.socket(browser.origin) as opened:
        await opened.say(first)
        assert await opened.closing() == code


@pytest.mark.parametrize("since", [-1, "1", True, 1.5, 2**53])
async def test_a_number_that_is_none_ends_it(browser: Browser, since: object) -> None:
    async with browser.socket(browser.origin) as opened:
        await opened.say({"token": browser.token, "since": since})
        assert await opened.closing() == BAD_REQUEST


async def test_a_message_that_is_too_long_ends_it(browser: Browser) -> None:
    async with browser.socket(browser.origin) as opened:
        await opened.say({"token": "x" * MAX_MESSAGE})
        assert await opened.closing() == 1009


async def test_a_device_that_may_not_look_is_told_nothing(browser: Browser) -> None:
    blind = await asyncio.to_thread(Browser.of, browser.node, "approve")
    async with blind.events() as events:
        assert await events.closing() == NO_SCOPE


async def test_the_socket_of_a_revoked_device_is_closed_at_once(browser: Browser) -> None:
    leaving = await asyncio.to_thread(Browser.of, browser.node, "view")
    async with leaving.events() as events, browser.events() as staying:
        await events.next()
        await staying.next()
        path = f"dashboard/devices/{leaving.device['id']}/revoke"
        assert (await asyncio.to_thread(browser.post, path)).status == 200
        assert await events.closing() == NO_TOKEN
        while (await staying.next())["kind"] != "audit.entry":
            pass  # what an earlier test ran may end only now
    async with leaving.events() as events:
        assert await events.closing() == NO_TOKEN


@pytest.fixture(scope="module")
def other() -> Iterator[Node]:
    with Mesh.scratch("relay-dash-") as mesh:
        yield served(mesh, "vps")


async def test_a_broker_stops_soon_whatever_is_open_and_goes_on_by_number(other: Node) -> None:
    """Sockets, answers that go on, and a socket that said nothing yet; the next start serves at the same port."""
    browser = await asyncio.to_thread(Browser.of, other, "view", "spawn")
    async with browser.events() as one, browser.events() as two, browser.socket(browser.origin):
        seq = (await one.next())["seq"]
        await two.next()
        with browser.asked("GET", "/api/v1/events?follow=1&since=0") as following:  # it is under way
            before = time.monotonic()
            await asyncio.to_thread(other.stop)
            assert time.monotonic() - before < 5.0
            assert [await one.closing(), await two.closing()] == [GOING, GOING]
            assert following.status == 200
            with contextlib.suppress(http.client.HTTPException, ConnectionError):  # it ends, whole or cut off
                await asyncio.to_thread(following.read)
    assert "Traceback" not in other.log()
    await asyncio.to_thread(other.start)
    await _until_served(browser)
    spawn = await asyncio.to_thread(_run, browser)
    async with browser.events(seq) as events:
        assert (await events.next())["kind"] == "hello"
        assert await _until(events, spawn) > seq


async def _until_served(browser: Browser) -> None:
    """The broker is ready before its dashboard is, which nobody waits for."""
    async with asyncio.timeout(30):
        while True:
            try:
                assert (await asyncio.to_thread(browser.ask, "GET", "/api/v1/status")).status == 200
                return
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)

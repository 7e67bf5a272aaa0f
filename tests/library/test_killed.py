"""A program and its broker are killed under a call, in each of its phases: it runs at most once, and is answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

import relay
from relay.library.mesh import Mesh
from relay.library.tickets import Ticket
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh
from tests.library.served import Served, served


@pytest.fixture
def app(two: Scene) -> Iterator[Served]:
    """The program beside the broker of `vps`."""
    with served(two.vps) as made:
        yield made


@contextlib.asynccontextmanager
async def _laptop(two: Scene) -> Any:
    async with relay.connect(two.laptop.home) as mesh:
        yield mesh


async def _begin(mesh: Mesh, tool: str, key: str) -> Ticket:
    return await mesh.begin(tool, {"key": key}, broker="vps")


async def _until_told(mesh: Mesh, ticket: Ticket, state: str) -> None:
    async with asyncio.timeout(20), aclosing(mesh.events(0, kinds=["call.state"])) as events:
        async for _ in events:
            if (await ticket.look()).state == state:
                return


async def _until_reworded(mesh: Mesh, ticket: Ticket) -> str:
    """Why a call waits, once that is another reason."""
    before = ticket.last.reason
    async with asyncio.timeout(20), aclosing(mesh.events(0, kinds=["call.state"])) as events:
        async for _ in events:
            if (await ticket.look()).reason != before:
                break
    return ticket.last.reason


def _until_on_vps(two: Scene, ticket: Ticket, *states: str) -> None:
    def there() -> bool:
        with two.vps.control() as control:
            return any(each["id"] == ticket.id and each["state"] in states for each in control.get("calls"))

    wait_until(there, 20, f"the call to be {states} on vps")


async def test_what_waits_is_drained_at_the_start(two: Scene, app: Served) -> None:
    """Nobody served it, which the caller is told; then each waiting call runs once, one at a time."""
    await asyncio.to_thread(app.stop)
    keys = [fresh("w") for _ in range(3)]
    async with _laptop(two) as mesh:
        tickets = [await _begin(mesh, "narrow", key) for key in keys]
        for ticket in tickets:
            await _until_told(mesh, ticket, "waiting")
        assert "not running on vps" in tickets[0].last.reason
        await asyncio.to_thread(app.start)
        await asyncio.to_thread(app.until_ran, keys[0], "began")
        assert "not running" not in await _until_reworded(mesh, tickets[2])
        for key, ticket in zip(keys, tickets, strict=True):
            await asyncio.to_thread(app.until_ran, key, "began")
            assert sum(len(app.ran(each)) for each in keys) == keys.index(key) + 1
            app.let_go(key)
            assert (await ticket.wait(20)).ok
        assert [app.ran(key) for key in keys] == [["began"]] * 3


async def test_killed_before_it_had_read_the_call(two: Scene, app: Served) -> None:
    """It was given to it, and nobody can know that it was not begun: lost, and never run again."""
    key = fresh("k")
    async with _laptop(two) as mesh:
        with app.paused():
            ticket = await _begin(mesh, "step", key)
            await asyncio.to_thread(_until_on_vps, two, ticket, "starting", "running")
            await asyncio.to_thread(app.kill)
            answer = await ticket.wait(20)
        await asyncio.to_thread(app.start)
        assert (answer.state, app.ran(key)) == ("lost", []) and "may have acted" in answer.reason


async def test_killed_while_it_runs(two: Scene, app: Served) -> None:
    """It is lost, with the words that say so; those that waited behind it run when the program is back."""
    key, behind = fresh("k"), fresh("k")
    async with _laptop(two) as mesh:
        ticket = await _begin(mesh, "narrow", key)
        await asyncio.to_thread(app.until_ran, key, "began")
        next_ = await _begin(mesh, "narrow", behind)
        await asyncio.to_thread(_until_on_vps, two, next_, "waiting")
        await asyncio.to_thread(app.kill)
        answer = await ticket.wait(20)
        assert answer.state == "lost" and not answer.ok
        app.let_go(behind)
        await asyncio.to_thread(app.start)
        assert (await next_.wait(20)).ok and (app.ran(key), app.ran(behind)) == (["began"], ["began"])


async def test_killed_while_what_it_forked_lives_on(two: Scene, app: Served) -> None:
    """That one holds its connection, and is not it: the call is lost, and what comes then waits for the next start."""
    key, next_key = fresh("k"), fresh("k")
    async with _laptop(two) as mesh:
        ticket = await _begin(mesh, "forks", key)
        child = int((await asyncio.to_thread(wait_until, lambda: app.ran(key), 20, "it to fork"))[0])
        try:
            await asyncio.to_thread(app.kill)
            assert (await ticket.wait(20)).state == "lost"
            next_ = await _begin(mesh, "step", next_key)
            await _until_told(mesh, next_, "waiting")
            assert "not running on vps" in next_.last.reason
        finally:
            os.kill(child, signal.SIGKILL)
        app.let_go(next_key)
        await asyncio.to_thread(app.start)
        assert (await next_.wait(20)).ok and app.ran(next_key) == ["began", "ended"]


async def test_killed_when_it_had_said_its_result(two: Scene, app: Served) -> None:
    """The broker had not read it, or had not kept it: there is one run, and one answer."""
    key = fresh("k")
    async with _laptop(two) as mesh:
        ticket = await _begin(mesh, "step", key)
        await asyncio.to_thread(app.until_ran, key, "began")
        with two.vps.asleep():
            app.let_go(key)
            await asyncio.to_thread(app.until_ran, key, "ended")
            await asyncio.to_thread(app.kill)
        answer = await ticket.wait(20)
        assert answer.state in ("completed", "lost") and app.ran(key) == ["began", "ended"]


async def test_the_broker_is_killed_while_it_runs(two: Scene, app: Served) -> None:
    """The program holds it, ends it while nobody is there to hear, and tells it when the broker is back."""
    key = fresh("k")
    async with _laptop(two) as mesh:
        ticket = await _begin(mesh, "step", key)
        await asyncio.to_thread(app.until_ran, key, "began")
        await asyncio.to_thread(two.vps.kill)
        app.let_go(key)
        await asyncio.to_thread(app.until_ran, key, "ended")
        assert app.shout("alone") == "ALONE"
        await asyncio.to_thread(two.vps.start)
        assert (await ticket.wait(40)).ok and app.ran(key) == ["began", "ended"]


async def test_the_broker_is_killed_before_its_program_has_read_the_call(two: Scene, app: Served) -> None:
    """It is given out again, or was there after all: it runs once."""
    key = fresh("k")
    app.let_go(key)
    async with _laptop(two) as mesh:
        with app.paused():
            ticket = await _begin(mesh, "step", key)
            await asyncio.to_thread(_until_on_vps, two, ticket, "starting", "running")
            await asyncio.to_thread(two.vps.restart)
        assert (await ticket.wait(40)).ok and app.ran(key) == ["began", "ended"]


async def test_its_time_ends_it_though_nobody_is_there_to_say_so(two: Scene, app: Served) -> None:
    """The broker is away when a call's time is over: the function is cancelled all the same."""
    key = fresh("k")
    async with _laptop(two) as mesh:
        ticket = await mesh.begin("hangs", {"key": key}, broker="vps", timeout=6.0)
        await asyncio.to_thread(app.until_ran, key, "began")
        await asyncio.to_thread(two.vps.kill)
        await asyncio.to_thread(app.until_ran, key, "cancelled")
        await asyncio.to_thread(two.vps.start)
        assert (await ticket.wait(40)).state in ("timed_out", "failed")


async def test_a_program_that_is_there_before_its_broker(two: Scene, app: Served) -> None:
    """It waits for it, and serves when it comes."""
    await asyncio.to_thread(app.stop)
    await asyncio.to_thread(two.vps.stop)
    await asyncio.to_thread(app.start)
    assert "trying again" in app.said() and app.shout("early") == "EARLY"
    await asyncio.to_thread(two.vps.start)
    async with _laptop(two) as mesh:
        answer = await (await mesh.begin("greet", {"name": "Ann"}, broker="vps")).wait(30)
        assert answer.ok


async def test_the_callers_broker_is_killed_meanwhile(two: Scene, app: Served) -> None:
    """Its ticket goes on; another program of that machine picks it up by its id."""
    key = fresh("k")
    async with _laptop(two) as mesh:
        ticket = await _begin(mesh, "step", key)
        waiting = asyncio.create_task(ticket.wait(60))
        await asyncio.to_thread(app.until_ran, key, "began")
        await asyncio.to_thread(two.laptop.restart)
        app.let_go(key)
        assert (await waiting).ok and app.ran(key) == ["began", "ended"]
    async with _laptop(two) as other:
        assert (await (await other.ticket(ticket.id)).wait(10)).text == f"{key} is done"


async def test_a_program_that_leaves_says_what_it_left(two: Scene, app: Served) -> None:
    """What ran is cancelled and told as failed; what waited waits for its next start."""
    key, behind = fresh("k"), fresh("k")
    async with _laptop(two) as mesh:
        ticket = await _begin(mesh, "narrow", key)
        await asyncio.to_thread(app.until_ran, key, "began")
        next_ = await _begin(mesh, "narrow", behind)
        await asyncio.to_thread(app.stop)
        answer = await ticket.wait(20)
        assert answer.state == "failed" and answer.error is not None
        assert answer.error.message == "its program stopped serving while it ran"
        app.let_go(behind)
        await asyncio.to_thread(app.start)
        assert (await next_.wait(20)).ok and app.ran(behind) == ["began"]


async def test_a_second_program_does_not_take_the_names(two: Scene, app: Served) -> None:
    """The first keeps them while it lives; the second has them once it is gone."""
    with served(two.vps) as second:
        async with _laptop(two) as mesh:
            key = fresh("k")
            ticket = await _begin(mesh, "step", key)
            await asyncio.to_thread(app.until_ran, key, "began")
            await asyncio.to_thread(wait_until, lambda: "in use" in second.said(), 20, "the second to be refused")
            assert second.ran(key) == []
            app.let_go(key)
            assert (await ticket.wait(20)).ok
            await asyncio.to_thread(app.kill)
            second.let_go(key)
            assert (await (await _begin(mesh, "step", key)).wait(20)).ok and second.ran(key) == ["began", "ended"]

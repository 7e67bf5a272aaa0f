"""`relay.connect`: what a program asks of the mesh, and that a restart of its broker is nothing to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from contextlib import aclosing
from typing import Any

import pytest

import relay
from relay.core.errors import Code
from relay.library.mesh import Mesh
from relay.library.seen import Ended
from relay.library.spawns import Spawn
from relay.testing.node import Node
from tests.e2e.scene import Scene, fresh

LONGEST_S = 60


async def _shell(mesh: Mesh, two: Scene, script: str, **rest: Any) -> Spawn:
    where: dict[str, Any] = {"broker": "vps", "cwd": str(two.vps.work), "timeout": LONGEST_S} | rest
    return await mesh.spawn(fresh("lib"), "shell", script, **where)


async def _restarted(node: Node) -> None:
    await asyncio.to_thread(node.restart)


async def test_a_spawn_from_its_request_to_its_end(two: Scene) -> None:
    """It is asked for, found, waited for, read; its values cannot be changed."""
    async with relay.connect(two.laptop.home) as mesh:
        spawn = await _shell(mesh, two, "echo out; echo err >&2", labels={"ticket": "42"})
        ended = (await spawn.wait(timeout=30)).raise_for_state()
        assert ended.ok and ended.text == "out\nerr\n" and ended.broker == "vps" and ended.labels == {"ticket": "42"}
        with pytest.raises(dataclasses.FrozenInstanceError):
            ended.state = "failed"  # type: ignore[misc, assignment]
        assert await spawn.output() == b"out\n"
        assert {(each.stream, each.text) async for each in spawn.logs()} == {("out", "out\n"), ("err", "err\n")}
        found = await mesh.spawns(states=["ended"], labels={"ticket": "42"}, broker="vps")
        assert [each.id for each in found] == [spawn.id] and (await mesh.get(spawn.id[:10])).name == spawn.name


async def test_a_place_of_its_own_and_words(two: Scene) -> None:
    """`exec` takes words; a fresh folder is made where it runs; one comes after the other."""
    async with relay.connect(two.laptop.home) as mesh:
        first = await mesh.spawn("-", "exec", ["printf", "%s", "a b"], broker="vps", cwd="new")
        second = await mesh.spawn("-", "shell", "pwd", broker="vps", cwd="new", after=[first])
        assert (await second.wait(30)).ok and (await first.wait(30)).output == "a b"


async def test_no_end_but_completed_is_a_success(two: Scene) -> None:
    """A failure, a stop, an end of its time and a refusal are what they are, and raise when they are asked to."""
    async with relay.connect(two.laptop.home) as mesh:
        spawns = {
            "failed": await _shell(mesh, two, "exit 3"),
            "timed_out": await _shell(mesh, two, "sleep 60", timeout=0.5),
            "rejected": await _shell(mesh, two, "true", mode="full", cwd="/"),
            "cancelled": await _shell(mesh, two, "sleep 60"),
        }
        await spawns["cancelled"].stop()
        for state, spawn in spawns.items():
            ended = await spawn.wait(30)
            assert (ended.state, ended.ok) == (state, False)
            with pytest.raises(relay.NotCompleted) as raised:
                ended.raise_for_state()
            assert raised.value.ended is ended and isinstance(raised.value, relay.RelayError)
            assert state in raised.value.message and raised.value.hint


async def test_what_has_not_ended_in_time_goes_on(two: Scene) -> None:
    """The wait ends by an error; the spawn does not."""
    async with relay.connect(two.laptop.home) as mesh:
        spawn = await _shell(mesh, two, "sleep 60")
        with pytest.raises(relay.RelayError) as raised:
            await spawn.wait(timeout=0.4)
        assert raised.value.code is Code.WAIT_TIMEOUT and spawn.id[:8] in raised.value.hint
        assert not (await spawn.look()).has_ended
        await spawn.stop()
        assert (await spawn.wait(30)).state == "cancelled"


async def test_who_needs_a_person_is_answered(two: Scene) -> None:
    """A task with an open input is sent a line."""
    async with relay.connect(two.laptop.home) as mesh:
        spawn = await _shell(mesh, two, "read line; echo got $line", stdin=True)
        async with aclosing(mesh.events(0, kinds=["spawn.state"])) as events:
            async for event in events:
                if (event.facts["spawn"], event.facts["state"]) == (spawn.id, "running"):
                    break
        assert (await spawn.send("hello")).accepted
        assert (await spawn.wait(30)).output == "got hello\n"
        with pytest.raises(relay.RelayError):
            await spawn.approve()


async def test_brokers(two: Scene) -> None:
    """The members, this machine's first."""
    async with relay.connect(two.laptop.home) as mesh:
        here, there = await mesh.brokers()
    assert (here.name, here.here, there.name, there.here, there.online) == ("laptop", True, "vps", False, True)
    assert there.may is not None and "spawn" in there.may


async def test_errors_are_relays_own(two: Scene, tmp_path: Any) -> None:
    """A wrong name, a home without a broker; each with its code and what to do."""
    async with relay.connect(two.laptop.home) as mesh:
        for asked, code in (
            (mesh.spawn("x", "shell", "true", broker="nowhere"), Code.UNKNOWN_BROKER),
            (mesh.get("nothing-of-this-name"), Code.UNKNOWN_SPAWN),
            (mesh.spawn("x", "shell", "true", repo="https://h/r", cwd="new"), Code.USAGE),
            (mesh.spawn("x", "shell", "true", after=[""]), Code.BAD_AFTER),
            (mesh.spawn("x", "exec", ["ls", tmp_path], cwd="new"), Code.BAD_TASK),
            (mesh.spawn("x", "shell", "true", broker="vps", cwd=tmp_path), Code.USAGE),
            (mesh.call("x", {"when": object()}, broker="vps"), Code.USAGE),
            (mesh.call("x", [1], broker="vps"), Code.USAGE),  # type: ignore[arg-type]
        ):
            with pytest.raises(relay.RelayError) as raised:
                await asked
            assert raised.value.code is code and raised.value.hint
    with pytest.raises(relay.RelayError) as raised:
        async with relay.connect(tmp_path):
            pass
    assert raised.value.code is Code.NOT_SET_UP


async def test_the_same_operation_acts_once(two: Scene) -> None:
    """What is asked for again, because its answer was lost, is the spawn of the first time."""
    async with relay.connect(two.laptop.home) as mesh:
        name = fresh("lib")
        where: dict[str, Any] = {"broker": "vps", "cwd": "new", "operation": f"order-{name}"}
        first = await mesh.spawn(name, "shell", "true", **where)
        assert (await mesh.spawn(name, "shell", "true", **where)).id == first.id


async def test_a_restart_is_waited_through(two: Scene) -> None:
    """The wait, the log and the events go on, each line and each event once; what is asked meanwhile is answered."""
    async with relay.connect(two.laptop.home) as mesh:
        since = await mesh.last_event()
        go = two.vps.work / fresh("go")
        spawn = await _shell(mesh, two, f"echo before; until test -e {go}; do sleep 0.05; done; echo after")
        waiting = asyncio.create_task(spawn.wait(60))
        first = asyncio.Event()
        reading = asyncio.create_task(_read(spawn, first))
        watching = asyncio.create_task(_events_of(mesh, since, spawn.id))
        await asyncio.wait_for(first.wait(), 20)
        await _restarted(two.laptop)
        asked = asyncio.create_task(_shell(mesh, two, "true"))
        go.touch()
        ended, text, events = await asyncio.wait_for(asyncio.gather(waiting, reading, watching), 60)
        assert isinstance(ended, Ended) and ended.ok and text == "before\nafter\n"
        assert events == sorted(set(events)) and len(events) >= 3
        assert (await (await asked).wait(30)).ok


async def _read(spawn: Spawn, first: asyncio.Event) -> str:
    text = ""
    async for each in spawn.logs(follow=True):
        text += each.text if each.stream == "out" else ""
        first.set()
    return text


async def _events_of(mesh: Mesh, since: int, spawn: str) -> list[int]:
    """The numbers of a spawn's events, to its end."""
    seen = []
    async with aclosing(mesh.events(since, kinds=["spawn.state"])) as events:
        async for event in events:
            assert event.kind == "spawn.state" and event.at is not None
            if event.facts["spawn"] == spawn:
                seen.append(event.seq)
                if event.facts["state"] == "completed":
                    break
    return seen


async def test_a_broker_that_does_not_come_back_is_told(two: Scene) -> None:
    """The patience that was asked for ends."""
    async with relay.connect(two.laptop.home, patience=0.3) as mesh:
        spawn = await _shell(mesh, two, "true")
        await spawn.wait(30)
        await asyncio.to_thread(two.laptop.stop)
        with pytest.raises(relay.RelayError) as raised:
            await mesh.brokers()
        assert raised.value.code is Code.NOT_RUNNING
        with pytest.raises(relay.RelayError):
            await spawn.wait()
    with contextlib.suppress(relay.RelayError):
        async with relay.connect(two.laptop.home):
            raise AssertionError("there is no broker")

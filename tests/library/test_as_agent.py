"""`relay spawn NAME RUNNER TASK`: a runner is run as an agent of its machine."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import relay
from relay.core.errors import Code
from relay.library.mesh import Mesh
from relay.library.spawns import Spawn
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh, relay_json
from tests.library.served import Served, served

GRANTED = ("write", "ask.first", "refuse")


@pytest.fixture(scope="module")
def app(_pair: Scene) -> Iterator[Served]:
    """A program beside the broker of `vps`; laptop may run some of its runners there as agents."""
    with served(_pair.vps, "tests.library.tasks_app") as made:
        agents = [word for name in GRANTED for word in ("--agent", name)]
        _pair.vps.relay("trust", "allow", _pair.laptop.id, "--verb", "spawn", *agents)
        yield made


async def _spawn(mesh: Mesh, runner: str, task: str, **rest: Any) -> Spawn:
    return await mesh.spawn(fresh("r"), runner, task, broker="vps", cwd="new", **rest)


async def test_it_runs_as_an_agent(two: Scene, app: Served) -> None:
    """Its task and its folder arrive; its progress is in the log, its words are the result."""
    async with relay.connect(two.laptop.home) as mesh:
        key = fresh("k")
        spawn = await _spawn(mesh, "write", key)
        await asyncio.to_thread(app.until_ran, key, "began")
        async with asyncio.timeout(20):
            async for piece in spawn.logs(follow=True):
                if "progress: 1/2 half of it" in piece.text:
                    break
        app.let_go(key)
        ended = (await spawn.wait(30)).raise_for_state()
        where = ended.document["cwd"]
        assert ended.text == f"{key} is written in {where}\n" and await spawn.output() == ended.text.encode()
        assert app.ran(key) == ["began", "ended"]


@pytest.mark.parametrize("which", ["vps", "laptop"])
async def test_a_restart_calls_it_once(two: Scene, app: Served, which: str) -> None:
    """Of either broker, under the running call."""
    async with relay.connect(two.laptop.home) as mesh:
        key = fresh("k")
        spawn = await _spawn(mesh, "write", key)
        await asyncio.to_thread(app.until_ran, key, "began")
        await asyncio.to_thread((two.vps if which == "vps" else two.laptop).restart)
        app.let_go(key)
        assert (await spawn.wait(60)).ok and app.ran(key) == ["began", "ended"]


async def test_its_own_words_are_its_end(two: Scene, app: Served) -> None:
    """Failed is failed, with what it said; what waits for an approval is completed, and says so."""
    async with relay.connect(two.laptop.home) as mesh:
        failed = await (await _spawn(mesh, "refuse", "outcome: done")).wait(30)
        assert (failed.state, failed.outcome) == ("failed", "error") and failed.error is not None
        assert (failed.error.code, failed.error.message) == (Code.RUNNER_FAILED, "no: outcome: done")
        asks = await (await _spawn(mesh, "ask.first", "pay")).wait(30)
        assert (asks.state, asks.outcome, asks.ok) == ("completed", "awaiting_approval", False)
        assert asks.text.strip() == "shall I pay?"


@pytest.mark.parametrize("how", ["stop", "timeout"])
async def test_its_end_ends_the_call(two: Scene, app: Served, how: str) -> None:
    """A stop of the spawn, and the end of its time, reach the function."""
    async with relay.connect(two.laptop.home) as mesh:
        key = fresh("k")
        spawn = await _spawn(mesh, "write", key, timeout=6.0 if how == "timeout" else 60.0)
        await asyncio.to_thread(app.until_ran, key, "began")
        if how == "stop":
            await spawn.stop()
        assert (await spawn.wait(30)).state == ("cancelled" if how == "stop" else "timed_out")
        await asyncio.to_thread(app.until_ran, key, "stopped")


async def test_a_task_may_spawn_it_where_its_own_origin_may(two: Scene, app: Served) -> None:
    """A shell of laptop's on vps spawns a runner there: the call of that one goes no deeper than the spawn."""
    line = f"{sys.executable} -m relay spawn {fresh('r')} {{}} of-a-task --cwd new --wait"
    async with relay.connect(two.laptop.home) as mesh:
        done = await (await _spawn(mesh, "shell", line.format("ask.first"))).wait(60)
        assert "shall I of-a-task?" in done.output, done.output
        refused = await (await _spawn(mesh, "shell", line.format("secret"))).wait(60)
        assert refused.state == "failed" and "may not run the agent secret on vps" in refused.output


async def test_no_other_verb_is_needed(two: Scene, app: Served) -> None:
    """A grant to spawn that names the runner is enough, and is not one to call it."""
    with served(two.laptop, "tests.library.tasks_app"):
        words = ("--verb", "spawn", "--agent", "ask.first", "--dir", "new")
        two.laptop.relay("trust", "allow", two.vps.id, *words)
        async with relay.connect(two.vps.home) as mesh:
            spawn = await mesh.spawn(fresh("r"), "ask.first", "go", broker="laptop", cwd="new")
            assert (await spawn.wait(30)).outcome == "awaiting_approval"
            called = await (await mesh.begin("ask.first", {"task": "go"}, broker="laptop")).wait(30)
            assert called.state == "rejected" and called.error is not None and called.error.code is Code.NO_VERB


async def test_a_grant_names_it(two: Scene, app: Served) -> None:
    """`*` does not cover a runner; one that takes no task, or is not there, is no agent."""
    async with relay.connect(two.laptop.home) as mesh:
        ended = await (await _spawn(mesh, "secret", "x")).wait(30)
        assert ended.state == "rejected" and ended.error is not None and ended.error.code is Code.NO_AGENT
        assert "--agent secret" in ended.error.hint and app.ran("secret") == []
    done = two.vps.relay("trust", "allow", two.laptop.id, "--agent", "*", check=False)
    assert done.returncode == 0, done.stderr
    async with relay.connect(two.laptop.home) as mesh:
        ended = await (await _spawn(mesh, "secret", "x")).wait(30)
        assert ended.state == "rejected" and ended.error is not None and "by name only" in ended.error.why
        for unknown in ("numbers", "nobody"):
            ended = await (await _spawn(mesh, unknown, "x")).wait(30)
            assert ended.error is not None and ended.error.code is Code.UNKNOWN_AGENT
        ended = await (await _spawn(mesh, "write", "x", model="m")).wait(30)
        assert ended.error is not None and ended.error.code is Code.AGENT_CANNOT


async def test_it_is_listed(two: Scene, app: Served) -> None:
    """`relay agents` names it as a runner, and no test of all agents calls it."""
    said = next(each for each in relay_json(two.vps, "agents") if each["broker"]["name"] == "vps")
    found = {each["name"] for each in said["agents"] if each["runner"] and each["installed"]}
    assert found == {"write", "ask.first", "refuse", "secret"}
    tested = json.loads(two.vps.relay("agents", "test", "--json", check=False).stdout)
    skipped = {each["agent"] for each in tested if each["skipped"]}
    assert found <= skipped and app.ran("secret") == []


async def test_its_program_is_waited_for(two: Scene, app: Served) -> None:
    """The program is restarted before the call has reached it: the spawn goes on."""
    async with relay.connect(two.laptop.home) as mesh:
        await asyncio.to_thread(app.stop)
        key = fresh("k")
        spawn = await _spawn(mesh, "write", key)
        await asyncio.to_thread(wait_until, lambda: _waits_for_its_program(two, spawn.id), 20, "it to wait for it")
        app.let_go(key)
        await asyncio.to_thread(app.start)
        assert (await spawn.wait(30)).ok


def _waits_for_its_program(two: Scene, spawn: str) -> bool:
    """On its target's own word, told to who asked for it."""
    shown = relay_json(two.laptop, "show", spawn)
    return shown["state"] == "waiting" and "its program is not running on vps" in shown["reason"]


async def test_what_its_program_has_begun_and_did_not_end_is_lost(two: Scene, app: Served) -> None:
    """It may have acted: that is no failure like others."""
    async with relay.connect(two.laptop.home) as mesh:
        key = fresh("k")
        spawn = await _spawn(mesh, "write", key)
        await asyncio.to_thread(wait_until, lambda: app.ran(key) == ["began"], 20, "it to begin")
        await asyncio.to_thread(app.kill)
        ended = await spawn.wait(30)
        assert ended.state == "lost" and "may have acted" in ended.reason
        assert two.laptop.relay("wait", spawn.id, check=False).returncode == 123
        await asyncio.to_thread(app.start)

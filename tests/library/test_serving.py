"""A program of its own serves runners beside what it is for; another broker calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

import relay
from relay.core.errors import Code
from relay.library.answers import Answer
from relay.library.mesh import Mesh
from tests.e2e.scene import Scene, fresh
from tests.library.served import Served, served


@pytest.fixture(scope="module")
def app(_pair: Scene) -> Iterator[Served]:
    """The program beside the broker of `vps`."""
    with served(_pair.vps) as made:
        yield made


async def _known(mesh: Mesh, name: str) -> None:
    """Wait until this machine has heard of a tool of vps."""
    async with asyncio.timeout(20), aclosing(mesh.events(0, kinds=["tool.changed"])) as events:
        async for _ in events:
            if any(each.name == name and each.broker == "vps" for each in await mesh.tools()):
                return


async def test_it_is_called_from_another_broker(two: Scene, app: Served) -> None:
    """Its arguments arrive and its result comes back; who asks is told; the program does its own work meanwhile."""
    async with relay.connect(two.laptop.home) as mesh:
        await _known(mesh, "greet")
        answer = (await mesh.call("greet", {"name": "Ann", "loud": True}, broker="vps")).raise_for_state()
        assert answer.data["words"] == "HELLO ANN" and answer.data["from"] == "laptop" and answer.data["by"]
        tool = next(each for each in await mesh.tools() if each.name == "greet")
        assert tool.description == "Greet somebody." and tool.schema["required"] == ["name"] and not tool.here
        waits = await mesh.begin("step", {"key": "one"})
        app.until_ran("one", "began")
        assert app.shout("still here") == "STILL HERE"
        app.let_go("one")
        assert (await waits.wait(20)).text == "one is done" and app.ran("one") == ["began", "ended"]


async def test_here_it_needs_no_grant(two: Scene, app: Served) -> None:
    """A program of the same machine calls it without crossing a link."""
    async with relay.connect(two.vps.home) as mesh:
        assert (await mesh.call("greet", {"name": "Bea"})).raise_for_state().data["from"] == "vps"


async def _answer(two: Scene, tool: str, arguments: dict[str, object], **rest: Any) -> Answer:
    async with relay.connect(two.laptop.home) as mesh:
        return await (await mesh.begin(tool, arguments, broker="vps", **rest)).wait(30)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", "ValueError: there is no such invoice"),
        ("returns", "the invoice is locked"),
        ("says", "the invoice is paid already"),
    ],
)
async def test_a_failure_is_one(two: Scene, app: Served, how: str, words: str) -> None:
    """However it is told, in the runner's words, and without a line of its code."""
    answer = await _answer(two, "fails", {"how": how})
    assert (answer.state, answer.outcome, answer.ok) == ("failed", "error", False)
    assert answer.error is not None and (answer.error.code, answer.error.message) == (Code.RUNNER_FAILED, words)
    assert "Traceback" not in str(answer.document) and ".py" not in str(answer.document)
    with pytest.raises(relay.NotCompleted):
        answer.raise_for_state()


async def test_a_hang_is_ended_and_cancelled(two: Scene, app: Served) -> None:
    """By the time that the call has; the function is told."""
    for timeout in (3.0, 15.0):
        answer = await _answer(two, "hangs", {"key": "hang"}, timeout=timeout)
        assert (answer.state, answer.outcome, answer.ok) == ("timed_out", "", False)
        if app.ran("hang"):  # else the program had no turn in all that time
            break
    app.until_ran("hang", "cancelled")


async def test_what_was_begun_inside_is_waited_for(two: Scene, app: Served) -> None:
    """Sent is what was sent, and not what is going to be."""
    async with relay.connect(two.laptop.home) as mesh:
        ticket = await mesh.begin("sends", {"key": "mail"}, broker="vps")
        with pytest.raises(relay.RelayError) as raised:
            await ticket.wait(timeout=1.0)
        assert raised.value.code is Code.WAIT_TIMEOUT and app.ran("mail") == []
        app.let_go("mail")
        answer = await ticket.wait(20)
    assert answer.ok and answer.data == {"status": "sent"} and app.ran("mail") == ["sent"]


async def test_an_approval_is_an_outcome_of_its_own(two: Scene, app: Served) -> None:
    """Completed, and not done."""
    answer = await _answer(two, "asks", {})
    assert (answer.state, answer.outcome, answer.ok) == ("completed", "awaiting_approval", False)
    assert answer.text == "pay invoice 7?" and answer.data == {"invoice": 7}
    with pytest.raises(relay.NotCompleted) as raised:
        answer.raise_for_state()
    assert raised.value.code is Code.AWAITS_APPROVAL


async def test_arguments_that_do_not_fit_never_reach_it(two: Scene, app: Served) -> None:
    """What is wrong is said; a name that nobody offers is refused."""
    answer = await _answer(two, "greet", {"nam": "Ann"})
    assert answer.state == "failed" and answer.error is not None and "'name' is a required" in answer.error.message
    assert (await _answer(two, "nobody", {})).state == "rejected"


@pytest.mark.parametrize(("size", "state"), [(3 << 20, "completed"), (17 << 20, "failed")])
async def test_large_results(two: Scene, app: Served, size: int, state: str) -> None:
    """Up to 16 MiB they come whole; beyond it is said."""
    answer = await _answer(two, "large", {"bytes": size})
    assert answer.state == state and (answer.error.code if answer.error else None) in (None, Code.RESULT_TOO_LARGE)
    assert len(answer.text) == size or state == "failed"


async def test_a_stop_and_a_place_in_the_line(two: Scene, app: Served) -> None:
    """One at a time is one at a time: the second waits, and is stopped before it began; the first is cancelled."""
    async with relay.connect(two.laptop.home) as mesh:
        first, second = fresh("n"), fresh("n")
        one = await mesh.begin("narrow", {"key": first}, broker="vps")
        app.until_ran(first, "began")
        two_ = await mesh.begin("narrow", {"key": second}, broker="vps")
        assert (await mesh.call("greet", {"name": "Ann"}, broker="vps")).ok  # another runner has places of its own
        assert (now := await two_.look()).state in ("queued", "waiting", "delivered"), now
        await two_.stop()
        assert (await two_.wait(20)).state == "cancelled" and app.ran(second) == []
        await one.stop()
        assert (await one.wait(20)).state == "cancelled"


async def test_progress_is_told(two: Scene, app: Served) -> None:
    """How far it is, in its own words, over the link."""
    async with relay.connect(two.laptop.home) as mesh:
        ticket = await mesh.begin("step", {"key": "far"}, broker="vps")
        async with asyncio.timeout(20):
            while (now := await ticket.look()).progress is None:  # noqa: ASYNC110 - progress has no event
                await asyncio.sleep(0.05)
        assert now.progress is not None and now.progress.words == "waiting to be let go"
        assert (now.progress.done, now.progress.of) == (1, 2)
        app.let_go("far")
        assert (await (await mesh.ticket(ticket.id)).wait(20)).ok

"""One call, to its real end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

import relay
from relay.core.calls import Outcome
from relay.library.outcomes import Came
from relay.library.runners import Call, Function, Origin
from relay.library.running import noting_tasks, run

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
async def _noting() -> AsyncIterator[None]:
    with noting_tasks(asyncio.get_running_loop()):
        yield


def _call() -> Call:
    return Call("c1", Origin("id", "laptop"), "me", None, lambda done, of, words: None)


def _begun(function: Function, call: Call | None = None, **arguments: Any) -> asyncio.Task[Came]:
    made = relay.runner("it")(function)
    return asyncio.get_running_loop().create_task(run(made, call or _call(), arguments))


async def test_what_it_started_belongs_to_it() -> None:
    """A runner that returns at once has not ended before what it started has, and what that started."""
    steps: list[str] = []
    go, there = asyncio.Event(), asyncio.Event()

    async def inner() -> None:
        await go.wait()
        steps.append("inner")

    async def outer() -> None:
        asyncio.create_task(inner())  # noqa: RUF006 - that is what is shown here
        steps.append("outer")
        there.set()

    async def begin() -> str:
        asyncio.create_task(outer())  # noqa: RUF006
        return "started"

    task = _begun(begin)
    await there.wait()
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    go.set()
    assert (await task).result["content"][0]["text"] == "started" and steps == ["outer", "inner"]


@pytest.mark.parametrize("late", [False, True])
async def test_what_fails_after_it_returned_is_a_failure(late: bool) -> None:
    """Whether it fails before the return, with nobody hearing of it, or after it."""

    async def fails() -> None:
        if late:
            await asyncio.sleep(0.01)
        raise ValueError("not sent")

    async def begin() -> str:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        return f"sent by {task.get_name()}"

    came = await _begun(begin)
    assert came.outcome is Outcome.ERROR and came.error is not None and came.error.message == "ValueError: not sent"


async def test_what_it_heard_of_itself_is_its_own_affair() -> None:
    """A failure that the runner caught, and a task that it cancelled, are none of the call's."""

    async def fails() -> None:
        raise ValueError("try again")

    async def begin() -> str:
        task, endless = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(99))
        try:
            await task
        except ValueError:
            endless.cancel()
        return "done at the second try"

    assert (await _begun(begin)).outcome is Outcome.DONE


async def test_an_awaitable_that_is_returned_is_awaited() -> None:
    """A task, a coroutine, and one in the other."""

    async def work() -> str:
        await asyncio.sleep(0)
        return "worked"

    async def begin() -> Awaitable[Awaitable[str]]:
        async def later() -> Awaitable[str]:
            return work()

        return asyncio.create_task(later())

    assert (await _begun(begin)).result["content"][0]["text"] == "worked"


async def test_what_is_to_outlive_a_call_says_so() -> None:
    """A pool's watcher that is started in an empty context is nobody's work."""
    watchers: list[asyncio.Task[None]] = []

    async def begin() -> str:
        watchers.append(asyncio.create_task(asyncio.sleep(99), context=contextvars.Context()))
        return "connected"

    assert (await _begun(begin)).outcome is Outcome.DONE
    assert not watchers[0].done() and watchers[0].cancel()


async def test_a_stop_ends_all_of_it() -> None:
    """The function is cancelled, and so is what it started; the call is over when that really is."""
    steps: list[str] = []
    entered = asyncio.Event()

    async def child() -> None:
        try:
            await asyncio.sleep(99)
        finally:
            await asyncio.sleep(0.02)
            steps.append("child tidied up")

    async def begin() -> None:
        asyncio.create_task(child())  # noqa: RUF006
        await asyncio.sleep(0)
        entered.set()
        await asyncio.sleep(99)

    call = _call()
    task = _begun(begin, call)
    await entered.wait()
    call.cancelled = "a person stopped it"
    task.cancel()
    came = await task
    assert came.outcome is Outcome.CANCELLED and steps == ["child tidied up"]


async def test_a_stop_reaches_what_goes_on_after_the_return() -> None:
    """The function has returned, and what it started hangs."""

    async def begin() -> str:
        asyncio.create_task(asyncio.sleep(99))  # noqa: RUF006
        return "started"

    call = _call()
    task = _begun(begin, call)
    await asyncio.sleep(0.01)
    call.cancelled = "its time was over"
    task.cancel()
    assert (await task).outcome is Outcome.CANCELLED


@pytest.mark.parametrize("fault", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
async def test_what_raises_failed(fault: BaseException) -> None:
    """So does what ends the program elsewhere, or cancels itself."""

    async def begin() -> None:
        raise fault

    came = await _begun(begin)
    assert came.outcome is Outcome.ERROR and came.error is not None


async def test_a_failure_cancels_what_it_left_behind() -> None:
    """As a task group does."""
    child: list[asyncio.Task[None]] = []

    async def begin() -> None:
        child.append(asyncio.create_task(asyncio.sleep(99)))
        raise ValueError("no")

    assert (await _begun(begin)).outcome is Outcome.ERROR
    assert child[0].cancelled()


async def test_the_programs_own_factory_is_asked_and_comes_back() -> None:
    """Tasks are made as the program wants them; what is not of a call is not noted."""
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def own(loop: asyncio.AbstractEventLoop, coro: Any, **named: Any) -> asyncio.Task[Any]:
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **named)

    before: Any = loop.get_task_factory()
    loop.set_task_factory(own)
    with noting_tasks(loop), noting_tasks(loop):

        async def begin() -> None:
            asyncio.create_task(asyncio.sleep(0))  # noqa: RUF006

        await _begun(begin)
    assert made == ["run", "sleep"]
    now: Any = loop.get_task_factory()
    assert now is own
    loop.set_task_factory(before)

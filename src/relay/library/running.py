"""One call, from the entry of its function to its real end.

A runner may start tasks and return. They are its work all the same: the call ends when they have. So that they are
known, the loop's task factory notes each task that is made in a call's context; what is to outlive the call is started
with `context=contextvars.Context()`, or outside of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Coroutine, Iterator
from contextvars import Context, ContextVar
from typing import Any

from relay.core.errors import Code
from relay.library import outcomes
from relay.library.outcomes import Came
from relay.library.runners import Call, Runner

MOST_FAILED = 100
_log = logging.getLogger(__name__)
_CALL: ContextVar[Started | None] = ContextVar("relay_call", default=None)
Made = asyncio.Future[Any]


class Started:
    """The tasks that one call has started."""

    def __init__(self) -> None:
        self._going: set[Made] = set()
        self._failed: list[Made] = []

    def note(self, task: Made) -> None:
        """A task was made in the call's context."""
        if task.done():  # begun and ended while it was made: an eager one
            self._over(task)
        else:
            self._going.add(task)
            task.add_done_callback(self._over)

    def _over(self, task: Made) -> None:
        self._going.discard(task)
        if _is_unheard(task) and len(self._failed) < MOST_FAILED:
            self._failed.append(task)

    def cancel(self) -> None:
        """Ask those that go on to end."""
        for task in tuple(self._going):
            task.cancel()

    @property
    def names(self) -> list[str]:
        """Of those that go on."""
        return sorted(task.get_name() for task in self._going if isinstance(task, asyncio.Task))

    async def over(self) -> None:
        """Wait until none goes on, those included that they start."""
        while self._going:
            await asyncio.wait(tuple(self._going))

    def fault(self) -> BaseException | None:
        """Of one that failed without anybody hearing of it; None where there is none."""
        return next((task.exception() for task in self._failed if _is_unheard(task)), None)


def _is_unheard(task: Made) -> bool:
    """Whether it raised, and nobody has asked it for that: what asyncio complains of when it forgets a task."""
    return bool(getattr(task, "_log_traceback", False))


class _Noting:
    """A task factory that notes what calls start; the factory that the program had is still asked."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self.users = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **named: Any) -> Made:
        before = self._before
        task: Made = before(loop, coro, **named) if before else asyncio.Task(coro, loop=loop, **named)
        context: Context | None = named.get("context")
        started = _CALL.get() if context is None else context.get(_CALL)
        if started is not None:
            started.note(task)
        return task

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """One user less; after the last the loop has its own factory again, unless the program set another."""
        self.users -= 1
        present: Any = loop.get_task_factory()
        if not self.users and present is self:
            loop.set_task_factory(self._before)


@contextlib.contextmanager
def noting_tasks(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have the loop note what calls start, for a block."""
    factory: Any = loop.get_task_factory()
    if not isinstance(factory, _Noting):
        factory = _Noting(factory)
        loop.set_task_factory(factory)
    factory.users += 1
    try:
        yield
    finally:
        factory.leave(loop)


async def run(runner: Runner, call: Call, arguments: dict[str, Any]) -> Came:
    """Run one call to its real end; what it came to.

    It may be cancelled: with `call.cancelled` set that is a stop, and it still returns when all has really ended.

    Args:
        runner: whose.
        call: its context.
        arguments: they fit its schema.
    """
    started = Started()
    _CALL.set(started)
    named = arguments | ({runner.context: call} if runner.context else {})
    try:
        came = outcomes.of_value(await _returned(runner, named))
    except asyncio.CancelledError:
        came = _cancelled(call)
    except (Exception, SystemExit) as fault:
        came = _raised(runner, call, fault)
    if came.error is not None or call.cancelled:
        started.cancel()
    return await _to_its_end(runner, call, started, came)


async def _returned(runner: Runner, named: dict[str, Any]) -> Any:
    value = await runner.function(**named)
    while inspect.isawaitable(value):
        value = await value
    return value


async def _to_its_end(runner: Runner, call: Call, started: Started, came: Came) -> Came:
    while True:
        try:
            await started.over()
            break
        except asyncio.CancelledError:
            _log.warning("%s has returned, and tasks that it started went on: %s", runner.name, started.names[:8])
            came = _cancelled(call)
            started.cancel()
    fault = started.fault()
    if fault is None or came.error is not None or call.cancelled:
        return came
    return _raised(runner, call, fault)


def _cancelled(call: Call) -> Came:
    if call.cancelled:
        return outcomes.cancelled(call.cancelled)
    return outcomes.failed("it was cancelled from within", code=Code.RUNNER_FAILED)


def _raised(runner: Runner, call: Call, fault: BaseException) -> Came:
    _log.warning("the call %s of %s failed", call.id, runner.name, exc_info=fault)
    return outcomes.of_fault(fault)

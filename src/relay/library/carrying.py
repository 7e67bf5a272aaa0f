"""Carries the calls that a broker hands to a program, each once, and says what they came to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from relay.core.calls import Outcome
from relay.core.errors import Code
from relay.library import outcomes
from relay.library.arguments import Check
from relay.library.held import LEAVING, Taken
from relay.library.identity import Identity, Message
from relay.library.outcomes import Came
from relay.library.progress import Progress
from relay.library.runners import Call, Origin, Runner
from relay.library.running import run

LEAVING_S, TELLING_S = 5.0, 2.0
LATE_S = 2.0  # the broker ends it at its time, unless it is away
LEFT = "its program stopped serving while it ran"
OVERDUE = "it had no end in its time"
_log = logging.getLogger(__name__)


class Carrier:
    """The calls of one program.

    Args:
        runners: by name.
        checks: of the arguments, by the runner's name.
        identity: has what is in hand, and says words to the broker.
    """

    def __init__(self, runners: dict[str, Runner], checks: dict[str, Check], identity: Identity) -> None:
        self._runners, self._checks, self._identity = runners, checks, identity
        self._places = {name: asyncio.Semaphore(each.at_once) for name, each in runners.items()}
        self._progress = Progress(identity.say)
        self._leaving = False

    def take(self, given: Message) -> None:
        """A call was handed over; nothing where it is in hand already."""
        call = str(given["id"])
        taken = self._identity.held.take(call)
        if taken is Taken.OVER:
            self._identity.say(outcomes.failed("it was carried out before", code=Code.UNSURE).to_message(call))
        if taken is Taken.NEW and self._leaving:
            self._identity.say(self._identity.held.give_back(call))
        elif taken is Taken.NEW:
            context = self._identity.calls[call] = self._context(call, given)
            task = asyncio.get_running_loop().create_task(self._came(context, given), name=f"relay-call-{call}")
            self._identity.tasks[call] = task
            task.add_done_callback(lambda task: self._over(context, task))

    def stop(self, call: str, why: str) -> None:
        """End a call, if it is in hand; its task is over when it really has."""
        if (context := self._identity.calls.get(call)) is not None and not context.cancelled:
            context.cancelled = why
        if (task := self._identity.tasks.get(call)) is not None:
            task.cancel()

    def _over(self, context: Call, task: asyncio.Task[Came]) -> None:
        """A call's task is over, in whatever way: its broker is to hear of it."""
        del self._identity.calls[context.id], self._identity.tasks[context.id]
        self._progress.forget(context.id)
        if task.cancelled() and self._leaving:  # before its function was entered
            self._identity.say(self._identity.held.give_back(context.id))
            return
        word = self._came_of(context, task).to_message(context.id)
        self._identity.held.end(context.id, word)
        self._identity.say(word)

    def _came_of(self, context: Call, task: asyncio.Task[Came]) -> Came:
        if task.cancelled():
            return outcomes.cancelled(context.cancelled)
        if (fault := task.exception()) is not None:
            _log.error("the call %s met a fault of relay's own", context.id, exc_info=fault)
            return outcomes.failed("the library met a fault of its own", code=Code.INTERNAL)
        return task.result()

    async def _came(self, context: Call, given: Message) -> Came:
        name, arguments = str(given["name"]), given.get("arguments") or {}
        runner = self._runners.get(name)
        if runner is None:
            return outcomes.failed(f"this program has no runner {name}", code=Code.NO_RUNNER, hint="relay tools")
        if (wrong := self._checks[name](arguments)) is not None:
            return outcomes.failed(f"the arguments do not fit: {wrong}", code=Code.USAGE, hint="relay tools")
        async with self._places[name]:
            self._identity.held.enter(context.id)
            self._identity.say({"running": context.id})
            with self._bounded(context):
                came = await run(runner, context, arguments)
        if came.outcome is Outcome.CANCELLED and context.cancelled == OVERDUE:
            return outcomes.failed(OVERDUE, code=Code.RUNNER_TIMED_OUT)
        return outcomes.failed(LEFT) if came.outcome is Outcome.CANCELLED and self._leaving else came

    @contextlib.contextmanager
    def _bounded(self, context: Call) -> Iterator[None]:
        """End it a little after its time where the broker, which is to end it, is away."""
        timer = None
        if context.timeout is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(context.timeout + LATE_S, self.stop, context.id, OVERDUE)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def _context(self, call: str, given: Message) -> Call:
        origin = given.get("origin") or {}
        by = Origin(str(origin.get("id", "")), str(origin.get("name", "")))
        asked_by = str(given.get("requested_by") or "")
        return Call(call, by, asked_by, given.get("timeout_s"), self._progress.teller(call))

    async def leave(self) -> None:
        """End what runs, give back what was not begun, and wait a while until that is over and the broker knows."""
        self._leaving = True
        self._identity.say({LEAVING: []})  # before any end is said, in whose place another call would be given
        held = self._identity.held
        tasks = dict(self._identity.tasks)
        for call in tasks:
            self.stop(call, LEFT)
        if tasks:
            await asyncio.wait(tuple(tasks.values()), timeout=LEAVING_S)
        for call in self._identity.tasks:
            _log.warning("the call %s does not end, and is left running", call)
        self._identity.settled.clear()
        if held.unsaid and self._identity.words is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELLING_S):
                    await self._identity.settled.wait()
        self._progress.close()

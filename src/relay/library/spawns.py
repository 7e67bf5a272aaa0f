"""A spawn that was asked for: waiting for its end, reading what it writes, answering it, ending it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.api import person_routes, queue_routes, routes
from relay.api.person import person
from relay.core.errors import Code, Refused
from relay.library import given
from relay.library.asking import Asking, too_late
from relay.library.seen import Ended, Standing, Written

if TYPE_CHECKING:
    from relay.api.routes import Call
    from relay.api.shapes import LogLine

LONGEST_WAIT_S = 30.0
HELD_WAIT_S = 3.0  # the broker's wait looks past `held`: who wants to know of that looks so often
QUESTION_PAUSE_S = 2.0
STREAM_PAUSE_S = 0.2
ANSWER_S = 8.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an answer.

    Attributes:
        accepted: whether it was; None while the broker that asks has not said.
        said: its words.
    """

    accepted: bool | None
    said: str


class Spawn:
    """One spawn.

    Args:
        asking: asks the broker of this machine.
        last: how it stood when it was last looked at.

    Attributes:
        last: the same, by each method that hears of it.
    """

    def __init__(self, asking: Asking, last: Standing) -> None:
        self._asking = asking
        self.last = last

    def __repr__(self) -> str:
        return f"Spawn({self.last.name!r} on {self.last.broker}, {self.last.id[:8]}, {self.last.state})"

    @property
    def id(self) -> str:
        """Its id."""
        return self.last.id

    @property
    def name(self) -> str:
        """What it was called."""
        return self.last.name

    @property
    def broker(self) -> str:
        """The name of the broker that runs it."""
        return self.last.broker

    async def look(self) -> Standing:
        """How it stands now.

        Raises:
            RelayError: nobody can say.
        """
        return await self._seen(routes.show(self.id))

    async def _seen(self, call: Call[Any]) -> Standing:
        self.last = Standing.of(await self._asking.ask(call))
        return self.last

    async def wait(self, timeout: float | None = None) -> Ended:
        """How it ended. A restart of the broker, and a question to a person, are waited through.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            RelayError: `wait_timeout`: it goes on; or the broker of this machine is away for too long.
        """
        until = _until(timeout)
        while not (now := await self._next(until, LONGEST_WAIT_S)).has_ended:
            if until is not None and _now() >= until:
                raise self._late(timeout)
            if now.needs_a_person:
                await asyncio.sleep(_at_most(QUESTION_PAUSE_S, until))
        return Ended.of_end(now)

    async def decided(self, timeout: float | None = None) -> Standing:
        """How it stands once it has ended or needs a person; arguments and errors as of `wait`."""
        until = _until(timeout)
        while True:
            now = await self._next(until, HELD_WAIT_S)
            if now.has_ended or now.needs_a_person:
                return now
            if until is not None and _now() >= until:
                raise self._late(timeout)

    async def _next(self, until: float | None, longest_s: float) -> Standing:
        call = routes.wait(self.id, round(_at_most(longest_s, until), 3))
        try:
            self.last = Standing.of(await self._asking.ask(call, until))
        except TimeoutError:
            pass  # the broker says nothing: what is known stays as it was
        return self.last

    def _late(self, timeout: float | None) -> Exception:
        who = f"{self.name} on {self.broker}"
        why = f"{self.last.state}" + (f": {self.last.reason}" if self.last.reason else "")
        return too_late(f"{who} has not ended within {timeout:g} s", why, f"relay wait {self.id[:8]}")

    async def logs(self, follow: bool = False, tail: int | None = None) -> AsyncGenerator[Written, None]:
        """What it has written, piece by piece, each once.

        Args:
            follow: go on until it has ended, over restarts of the broker; else up to now.
            tail: only the last so many lines.

        Raises:
            RelayError: it cannot be read.
        """
        at: int | None = None
        asked, lines_wanted = False, given.whole("the tail", tail)

        def call(at: int | None) -> Call[LogLine]:
            nonlocal asked
            # who says a place, be it the first, has asked before: the broker, just started, waits for the task's
            place, asked = 0 if at is None and asked else at, True
            return routes.log(self.id, bool(follow), lines_wanted if at is None else None, place)

        while True:
            async with aclosing(self._asking.lines(call, at, "next")) as lines:
                async for line in lines:
                    at = line["next"]
                    piece = Written.of(line)
                    if piece.data or piece.stream == "gap":  # else it says where there is nothing yet
                        yield piece
            if not follow or (await self.look()).has_ended:
                return
            await asyncio.sleep(STREAM_PAUSE_S)  # the broker that told it was stopped

    async def output(self) -> bytes:
        """All it has written to stdout that is kept.

        Raises:
            RelayError: it cannot be read.
        """
        return b"".join([each.data async for each in self.logs() if each.stream == "out"])

    async def stop(self) -> Standing:
        """End it, and all it started; how it stood when that had been asked for: `wait` has its end.

        Raises:
            RelayError: it could not be asked for.
        """
        return await self._seen(routes.stop(self.id))

    async def retry(self) -> Standing:
        """Have it run once more, now that it has ended.

        Raises:
            RelayError: it has not, or may not.
        """
        return await self._seen(queue_routes.retry(self.id))

    async def go_on(self, task: str) -> Standing:
        """Have its agent, which has ended, go on in its session with another task.

        Raises:
            RelayError: it has no session, has not ended, or may not.
        """
        return await self._seen(queue_routes.go_on(self.id, task))

    async def send(self, text: str, request: str | None = None) -> Answered:
        """Type a line to it, or answer its question with words.

        Args:
            text: the words.
            request: which of its questions; None for the one there is.

        Raises:
            RelayError: `denied` or the like: the broker that runs it did not take it.
        """
        return await self._answer("send", text, request)

    async def approve(self, words: str = "", request: str | None = None) -> Answered:
        """Say yes to what it asks; arguments and errors as of `send`."""
        return await self._answer("approve", words, request)

    async def deny(self, words: str = "", request: str | None = None) -> Answered:
        """Say no to what it asks; arguments and errors as of `send`."""
        return await self._answer("deny", words, request)

    async def _answer(self, verb: str, text: str, request: str | None) -> Answered:
        call = person_routes.answer(
            {
                "spawn": self.id,
                "request": request,
                "verb": verb,
                "text": text,
                "requested_by": person(),
                "wait_s": ANSWER_S,
            }
        )
        done = await self._asking.ask(call)
        if done["accepted"] is False:
            what, why = f"{self.name} on {self.broker} did not take it", done["said"] or ""
            raise Refused(what, code=Code.DENIED, why=why, hint=f"relay show {self.id[:8]}")
        return Answered(done["accepted"], done["said"] or "")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _until(timeout: float | None) -> float | None:
    seconds = given.number("the timeout", timeout)
    return None if seconds is None else _now() + seconds


def _at_most(seconds: float, until: float | None) -> float:
    return seconds if until is None else max(0.0, min(seconds, until - _now()))

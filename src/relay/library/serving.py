"""`relay.serve`: offers the runners of a program to the broker of its machine, beside whatever else it does."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.api.home import Home
from relay.api.program_link import ProgramLink
from relay.core.errors import Code, Misuse, Refused, RelayError, Unreachable, from_json
from relay.library import given
from relay.library.arguments import checks_of
from relay.library.carrying import Carrier
from relay.library.identity import Identity, Message, borrowed, own_title
from relay.library.runners import MOST_AT_ONCE, Runner, chosen
from relay.library.running import noting_tasks

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
_log = logging.getLogger(__name__)


class Program:
    """What serves runners. `relay.serving` makes one.

    Args:
        home: of the broker.
        runners: by name.
        title: what the program is called.
        identity: which program this is, and what it holds.
        carrier: carries calls.

    Attributes:
        refused: the names that the broker would not take from this program when it connected, and why.
    """

    def __init__(
        self, home: Home, runners: dict[str, Runner], title: str, identity: Identity, carrier: Carrier
    ) -> None:
        self._home, self._title = home, title
        self._runners, self._identity, self._carrier = runners, identity, carrier
        self._welcome, self._tried = asyncio.Event(), asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self.refused: dict[str, RelayError] = {}

    @property
    def connected(self) -> bool:
        """Whether the broker is there and has this program's offers."""
        return self._identity.words is not None

    async def online(self) -> None:
        """Wait until the broker has this program's offers, for the first time or again."""
        await self._welcome.wait()

    async def over(self) -> None:
        """Wait for ever: the program serves until it is cancelled."""
        assert self._keeping is not None
        await self._keeping

    async def begin(self) -> None:
        """Begin to serve; returns when the broker was asked once.

        Raises:
            RelayError: it does not take this program, or there is none that could be waited for.
        """
        self._keeping = asyncio.get_running_loop().create_task(self._keep_connected(), name="relay-program")
        self._keeping.add_done_callback(lambda task: self._tried.set())
        await self._tried.wait()
        if self._keeping.done():
            await self._keeping

    async def end(self) -> None:
        """Serve no more."""
        try:
            await self._carrier.leave()
        finally:
            if self._keeping is not None:
                self._keeping.cancel()
                await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep_connected(self) -> None:
        pause_s, told = FIRST_PAUSE_S, ""
        while True:
            try:
                await self._connect_once()
            except RelayError as fault:
                if not self._tried.is_set() and _is_for_good(fault):
                    raise
                if fault.message != told:
                    _log.warning("not connected with the broker, and trying again: %s: %s", fault.message, fault.why)
                told = fault.message
            except Exception:  # whatever a broker of another version says must not keep this program from serving
                _log.exception("the connection with the broker was given up, and is made anew")
            if self._welcome.is_set():
                pause_s, told = FIRST_PAUSE_S, ""
            self._welcome.clear()
            self._tried.set()
            await asyncio.sleep(pause_s * (0.5 + random.random() / 2))  # noqa: S311 - that not all come back at once
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connect_once(self) -> None:
        """Serve over one connection until it ends.

        Raises:
            RelayError: it could not be made, or broke.
        """
        async with await ProgramLink.open(self._home, self._hello()) as link:
            speaking: asyncio.Task[None] | None = None
            try:
                async for message in link:
                    if "welcome" in message:
                        speaking = asyncio.get_running_loop().create_task(_speak(link, self._welcomed()))
                    else:
                        self._heard(message)
            finally:
                self._identity.words = None
                if speaking is not None:
                    speaking.cancel()
                    await asyncio.gather(speaking, return_exceptions=True)

    def _hello(self) -> Message:
        parallel = min(MOST_AT_ONCE, sum(each.at_once for each in self._runners.values()))
        offers = [each.offer() for each in self._runners.values()]
        at_once = {name: each.at_once for name, each in self._runners.items()}
        told = {"kind": "library", "title": self._title, "parallel": parallel, "at_once": at_once, "offers": offers}
        return {"program": self._identity.id, "pid": os.getpid(), "holding": self._identity.held.ids, **told}

    def _welcomed(self) -> asyncio.Queue[Message]:
        words: asyncio.Queue[Message] = asyncio.Queue()
        for word in self._identity.held.again():
            words.put_nowait(word)
        self._identity.words = words
        self.refused.clear()
        self._welcome.set()
        self._tried.set()
        return words

    def _heard(self, message: Message) -> None:
        if "call" in message:
            self._carrier.take(message["call"])
        elif "cancel" in message:
            told = message["cancel"]
            self._carrier.stop(str(told["call"]), str(told.get("why") or "it was stopped"))
        elif "kept" in message:
            self._identity.kept(str(message["kept"]))
        elif "refused" in message:
            self._refuse(message["refused"].get("name"), from_json(message["refused"]))

    def _refuse(self, name: str | None, fault: RelayError) -> None:
        """A name is served by another program, which may go; or a line of this program's was none."""
        _log.warning("%s is not served by this program: %s: %s", name or "a line", fault.message, fault.why)
        if name is not None:
            self.refused[name] = fault


def _is_for_good(fault: RelayError) -> bool:
    """Whether it is of no use to try again."""
    if isinstance(fault, Unreachable):
        return False
    return isinstance(fault, (Misuse, Refused)) or fault.code in (Code.NOT_SET_UP, Code.BAD_CONFIG)


async def _speak(link: ProgramLink, words: asyncio.Queue[Message]) -> None:
    while True:
        await link.send(await words.get())


@asynccontextmanager
async def serving(
    *runners: Runner, home: str | os.PathLike[str] | Home | None = None, title: str | None = None
) -> AsyncIterator[Program]:
    """Offer runners to the mesh for the length of a block, beside whatever else this program does.

        async with relay.serving(review):
            await the_app()

    A broker that is away is waited for, and found again after its restart. No signal is touched. At the block's end
    what still runs is cancelled, and told as failed.

    Args:
        runners: what is offered; none for all that were declared.
        home: the folder of the broker of this machine; None for the usual one.
        title: what the program is called, for people; None for its file and the folder that it runs in. The same at its
            next start, and no other program's: by it the broker knows that what is not offered any more was taken out.

    Raises:
        RelayError: a runner cannot be served, the broker does not take this program, or there is no broker in that
            folder.
    """
    found = chosen(runners)
    checks = await asyncio.to_thread(checks_of, found)
    at, called = given.home(home), given.maybe_text("the title", title)
    with borrowed(at) as identity, noting_tasks(asyncio.get_running_loop()):
        program = Program(at, found, called or own_title(), identity, Carrier(found, checks, identity))
        try:
            await program.begin()
            yield program
        finally:
            await program.end()


async def serve(
    *runners: Runner, home: str | os.PathLike[str] | Home | None = None, title: str | None = None
) -> None:
    """Offer runners to the mesh until this is cancelled; all else as of `serving`."""
    async with serving(*runners, home=home, title=title) as program:
        await program.over()

"""The host as a program of its broker: what it offers, the calls that it holds, and each result until it is kept.

    connect: who, what is offered, which calls are held ─► welcome ─► results that were not kept, again
    call ─► running ─► progress … ─► result ─► kept

A call is held from the line that gave it until the line that says its result is kept, over any number of connections,
so that it runs once and its end is told at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Callable

import psutil

from relay.api.home import Home
from relay.api.program_link import ProgramLink
from relay.core.errors import RelayError
from relay.library.progress import Progress
from relay.mcp_server.host.results import OWN_FAULT, answer_of, failure_of
from relay.mcp_server.host.share import JSON, Share

WITHOUT_BROKER_S = 60.0
AT_ONCE = 64  # one server's slow calls are not to hold up another's
PAUSE_S = 0.25
TELLING_S, LEAVING_S = 2.0, 10.0
"""So long what is held is told before the end; and who is sent away has so long until nothing is held any more."""
_log = logging.getLogger(__name__)


class Held:
    """A call that this program has been given.

    Attributes:
        result: the line that ends it, once there is one.
        running: whether its server has it.
        task: what runs it.
    """

    def __init__(self) -> None:
        self.result: JSON | None = None
        self.running = False
        self.task: asyncio.Task[JSON] | None = None


class Program:
    """One process's conversation with its broker.

    Args:
        home: whose broker.
        share_of: the share that has a tool, by the tool's name.
        was_refused: called when the broker does not serve something of it.
        offers: what is offered now.

    Attributes:
        refused: what the broker does not serve of it, and why.
    """

    def __init__(
        self,
        home: Home,
        share_of: Callable[[str], Share | None],
        offers: Callable[[], list[JSON]],
        was_refused: Callable[[], None],
    ) -> None:
        self._home = home
        self._share_of = share_of
        self._offers = offers
        self._was_refused = was_refused
        self.refused: dict[str, str] = {}
        self._id = secrets.token_hex(16)
        self._held: dict[str, Held] = {}
        self._link: ProgramLink | None = None
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._saying: set[asyncio.Task[None]] = set()

    def changed(self) -> None:
        """What is offered is other now."""
        self._news.set()

    async def run(self) -> str:
        """Serve until the broker has been gone for a minute; why it is over.

        A broker that sends this program away has no use for what it offers; what else is shared another one offers.
        """
        alone_since = time.monotonic()
        while time.monotonic() - alone_since < WITHOUT_BROKER_S:
            try:
                self._news.clear()  # before it is said what is offered: what changes from then on is told
                async with await ProgramLink.open(self._home, self._hello()) as link:
                    if (why := await self._converse(link)) is not None:
                        _log.info("sent away: %s", why)
                        self._id = secrets.token_hex(16)
                    alone_since = time.monotonic()
            except RelayError as error:
                _log.debug("no broker: %s", error.why or error.message)
            await asyncio.sleep(PAUSE_S)
        return "its broker has been gone for a minute"

    async def settled(self) -> None:
        """Return when the broker has kept how each call ended, or cannot."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TELLING_S):
                while self._held and self._link is not None:
                    self._told.clear()
                    await self._told.wait()

    async def close(self) -> None:
        """Stop what runs."""
        running = [held.task for held in self._held.values() if held.task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*self._saying, return_exceptions=True)

    def _hello(self) -> JSON:
        return {
            "program": self._id,
            "kind": "share",
            "title": "shared MCP servers",
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "parallel": AT_ONCE,
            "offers": self._offers(),
            "holding": list(self._held),
        }

    async def _converse(self, link: ProgramLink) -> str | None:
        """Hear until the connection ends; why, where the broker wants this program gone."""
        telling = asyncio.get_running_loop().create_task(self._tell_changes(link))
        why: str | None = None
        try:
            async with asyncio.timeout(None) as patience:
                async for message in link:
                    if "end" in message:
                        why = str(message["end"])
                        patience.reschedule(asyncio.get_running_loop().time() + LEAVING_S)
                    else:
                        await self._heard(link, message)
                    if why is not None and not self._held:
                        break
        except TimeoutError:
            _log.warning("%d calls were not ended in time", len(self._held))
        finally:
            self._link = None
            self._told.set()
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        return why

    async def _heard(self, link: ProgramLink, message: JSON) -> None:
        if "welcome" in message:
            self._link = link
            for call, held in list(self._held.items()):
                if held.result is not None:
                    await self._say(held.result)
                elif held.running:
                    await self._say({"running": call})
        elif "call" in message:
            self._begin(message["call"])
        elif "cancel" in message:
            self._cancel(message["cancel"]["call"])
        elif "kept" in message:
            self._held.pop(message["kept"], None)
            self._told.set()
        elif "refused" in message:
            refused = message["refused"]
            self.refused[refused["name"]] = refused["why"] or refused["message"]
            _log.warning("%s is not served: %s", refused["name"], self.refused[refused["name"]])
            self._was_refused()

    def _cancel(self, call: str) -> None:
        held = self._held.get(call)
        if held is not None and held.task is not None:
            held.task.cancel()

    async def _tell_changes(self, link: ProgramLink) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            self.refused.clear()
            await link.send({"offers": self._offers()})

    async def _say(self, message: JSON) -> None:
        """Say it now, or not at all: what has to be heard is said again at the next welcome."""
        link = self._link
        if link is None:
            return
        try:
            await link.send(message)
        except RelayError:
            self._link = None

    # calls

    def _begin(self, call: JSON) -> None:
        if call["id"] in self._held:
            return
        held = self._held[call["id"]] = Held()
        held.task = asyncio.get_running_loop().create_task(self._answered(call, held))
        held.task.add_done_callback(lambda task: self._over(call["id"], held, task))

    def _over(self, call: str, held: Held, task: asyncio.Task[JSON]) -> None:
        """A call's task is over, also where it was cancelled before it began: its broker is to hear of it."""
        if task.cancelled():
            answer: JSON = {"outcome": "cancelled", "result": None, "error": None}
        elif (fault := task.exception()) is not None:
            _log.error("the call %s met a fault of relay's own", call, exc_info=fault)
            answer = failure_of(OWN_FAULT)
        else:
            answer = task.result()
        held.result = {"result": {"call": call} | answer}
        self._say_soon(held.result)

    def _say_soon(self, message: JSON) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._say(message))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)
        return task

    async def _answered(self, call: JSON, held: Held) -> JSON:
        """How a call ended, as a program tells it."""
        share = self._share_of(call["name"])
        telling: set[asyncio.Task[None]] = set()

        def say(message: JSON) -> None:
            task = self._say_soon(message)
            telling.add(task)
            task.add_done_callback(telling.discard)

        def began() -> None:
            held.running = True
            say({"running": call["id"]})

        saying = Progress(say)
        pass_on = saying.teller(call["id"])

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            pass_on(progress, total, message or "")

        try:
            if share is None:
                return failure_of(None)
            answer = answer_of(await share.call(call["name"], call["arguments"], began, tell))
        except RelayError as error:
            answer = failure_of(error)
        finally:
            saying.close()
        await asyncio.gather(*telling, return_exceptions=True)
        return answer


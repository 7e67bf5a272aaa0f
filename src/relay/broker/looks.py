"""A live look at another broker: a question under a random stream, answered in numbered pieces and an end.

    asker    Looks.at, in its Turns ── stream ────────────► Telling.asked, one of an asker at a time
             Looks.heard ◄── stream, n, items, end ──────── pieces of a bounded size

Nothing of it is durable: who does not answer in time is not known, and is looked at anew when somebody asks again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from relay.broker.inbox import Opened
from relay.broker.mesh import Mesh
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.streams import STREAM_BYTES, stream_of
from relay.core.values import frozen
from relay.core.wire import pack

MOST_ITEMS = 2_000
MAX_PIECE = 200 * 1024
MAX_REFUSAL = 300
SILENT_S = 2.0
"""After so long without a word a broker is asked whether it is there at all; who is asleep is not waited for."""
LINK_S = 1.0
"""How often it is seen whether the link stands over which a look went."""
IsThere = Callable[[BrokerId], Awaitable[bool]]
T = TypeVar("T")


@frozen
class Told:
    """What is answered to a look.

    Attributes:
        items: each as the content of a message.
        refusal: why there are none, in words; empty where who asks may see them.
        more: how many there are beyond these.
    """

    items: Iterable[dict[str, Any]] = ()
    refusal: str = ""
    more: int = 0


Gather = Callable[[BrokerId, dict[str, Any]], Awaitable[Told]]


class Telling:
    """Answers looks of one kind.

    Args:
        mesh: carries the answers.
        answer: their kind.
        what: the look is called so where one is refused ("a look at questions").
        gather: what to tell a broker, given the content of its question.
        at_once: how many looks of one broker are answered at a time.
    """

    def __init__(self, mesh: Mesh, answer: Kind, what: str, gather: Gather, at_once: int = 1) -> None:
        self._mesh = mesh
        self._kind = answer
        self._what = what
        self._gather = gather
        self._at_once = at_once
        self._answering: dict[BrokerId, set[asyncio.Task[None]]] = {}

    def close(self) -> None:
        """Stop answering."""
        for tasks in self._answering.values():
            for task in tasks:
                task.cancel()

    def asked(self, each: Opened) -> None:
        """A look came."""
        origin, stream = each.header.origin, stream_of(each.body.content, self._what)
        tasks = self._answering.setdefault(origin, set())
        if len(tasks) >= self._at_once:
            return  # who asks for more meanwhile is not answered: an asker knows how many it may (`Turns`)
        task = asyncio.get_running_loop().create_task(self._answer(origin, stream, each.body.content))
        tasks.add(task)
        task.add_done_callback(lambda done: self._over(origin, done))

    def _over(self, origin: BrokerId, task: asyncio.Task[None]) -> None:
        tasks = self._answering[origin]
        tasks.discard(task)
        if not tasks:
            del self._answering[origin]

    async def _answer(self, origin: BrokerId, stream: bytes, content: dict[str, Any]) -> None:
        told = await self._gather(origin, content)
        items: list[dict[str, Any]] = []
        n = size = 0
        for item in told.items:
            length = len(pack(item))
            if size + length > MAX_PIECE:
                self._say(origin, {"stream": stream, "n": n, "items": items, "end": False})
                n, items, size = n + 1, [], 0
            items.append(item)
            size += length
        refusal = {"refusal": told.refusal[:MAX_REFUSAL]} if told.refusal else {}
        more = {"more": told.more} if told.more else {}
        self._say(origin, {"stream": stream, "n": n, "items": items, "end": True} | refusal | more)

    def _say(self, origin: BrokerId, content: dict[str, Any]) -> None:
        self._mesh.say(origin, self._kind, content)


@frozen
class Seen(Generic[T]):
    """What a look found.

    Attributes:
        items: all of them.
        refusal: why they are not told, in the other broker's words; empty where they are.
        more: how many there are beyond these, by the other broker's word.
    """

    items: list[T]
    refusal: str = ""
    more: int = 0


class _Look(Generic[T]):
    """One open look."""

    def __init__(self, target: BrokerId) -> None:
        self.target = target
        self.envelope: bytes | None = None
        self.items: list[T] = []
        self.n = 0
        self.done: asyncio.Future[Seen[T] | None] = asyncio.get_running_loop().create_future()

    def end(self, seen: Seen[T] | None) -> None:
        if not self.done.done():
            self.done.set_result(seen)


class Turns:
    """Whose turn it is to ask: a broker answers so many looks of another at a time, and drops the others unsaid.

    Args:
        at_once: how many of one kind.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._of: dict[BrokerId, asyncio.Semaphore] = {}

    def at(self, target: BrokerId) -> asyncio.Semaphore:
        """To be held while a broker is asked."""
        return self._of.setdefault(target, asyncio.Semaphore(self._at_once))


class Looks(Generic[T]):
    """Looks at other brokers, of one kind.

    Args:
        mesh: the way to them.
        ask: the kind of the question.
        what: the look is called so where an answer is refused.
        read: makes an item of its content, and of who sent it; raises PeerFault.
        within_s: how long an answer is waited for, seconds, one's turn included.
        turns: those of the kind, where several look; else one at a time is asked of a broker.
    """

    def __init__(
        self,
        mesh: Mesh,
        ask: Kind,
        what: str,
        read: Callable[[object, BrokerId], T],
        within_s: float,
        turns: Turns | None = None,
    ) -> None:
        self._turns = turns or Turns()
        self._mesh = mesh
        self._ask = ask
        self._what = what
        self._read = read
        self._within_s = within_s
        self._open: dict[bytes, _Look[T]] = {}

    async def at(self, target: BrokerId, question: dict[str, Any] | None = None) -> Seen[T] | None:
        """What a broker tells; None where it cannot be reached, or does not answer in time.

        Args:
            target: who is asked.
            question: what is asked beside, for kinds that take it.
        """
        if not self._mesh.has_way(target):
            return None  # at once, also where those who ask it wait for it to be back
        until, turn = asyncio.get_running_loop().time() + self._within_s, self._turns.at(target)
        try:
            async with asyncio.timeout_at(until):
                await turn.acquire()
        except TimeoutError:
            return None
        try:
            return await self._asked(target, question or {}, until)
        finally:
            turn.release()

    async def _asked(self, target: BrokerId, question: dict[str, Any], until: float) -> Seen[T] | None:
        if not self._mesh.has_way(target):
            return None
        stream = os.urandom(STREAM_BYTES)
        look = self._open[stream] = _Look(target)
        content, over = {"stream": stream} | question, self._mesh.way_link(target)
        try:
            look.envelope = self._mesh.ask(target, self._ask, content)
            while look.envelope is not None and (left := until - asyncio.get_running_loop().time()) > 0:
                if (await asyncio.wait([look.done], timeout=min(left, LINK_S)))[0]:
                    return look.done.result()
                if over is not None and look.n == 0 and not self._mesh.stands(over) and self._mesh.has_way(target):
                    # what was said as one link gave way to another is lost; who is answering already does so once
                    over = self._mesh.way_link(target)
                    look.envelope = self._mesh.ask(target, self._ask, content)
            self._mesh.probe(target, over)  # asked again, it goes another way where there is one
            return None
        finally:
            del self._open[stream]

    def refused(self, peer: BrokerId, envelope: bytes, error: PeerFault) -> None:
        """That broker will not have an envelope; nothing where that was no look of ours."""
        for look in self._open.values():
            if look.target == peer and look.envelope == envelope:
                look.end(Seen([], _not_understood(error)))

    def heard(self, each: Opened) -> None:
        """A piece of an answer came."""
        content, origin = each.body.content, each.header.origin
        look = self._open.get(stream_of(content, self._what))
        if look is None or look.target != origin or type(content["items"]) is not list:
            return
        if content["n"] != look.n or len(look.items) + len(content["items"]) > MOST_ITEMS:
            look.end(None)  # a piece was lost on the way, or it tells more than anybody could read
            return
        look.n += 1
        look.items += [self._read(item, origin) for item in content["items"]]
        if content["end"]:
            more = content.get("more")
            counted = more if type(more) is int and 0 <= more < 2**53 else 0
            look.end(Seen(look.items, str(content.get("refusal", ""))[:MAX_REFUSAL], counted))


async def comes(answer: asyncio.Future[Any], mesh: Mesh, target: BrokerId, is_there: IsThere) -> bool:
    """Wait for what may take a broker long to say; False where it turns out to answer nothing at all.

    Args:
        answer: what is waited for; it goes on where this is False.
        mesh: the way to it.
        target: who is to answer.
        is_there: whether a broker answers anything, found out within `elsewhere.THERE_S`.
    """
    if (await asyncio.wait([answer], timeout=SILENT_S))[0]:
        return True
    if mesh.is_linked(target):
        mesh.probe(target)
    sign = asyncio.ensure_future(is_there(target))
    try:
        await asyncio.wait([answer, sign], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and not sign.result():
            return False
    finally:
        sign.cancel()
    await asyncio.wait([answer])
    return True


def _not_understood(error: PeerFault) -> str:
    return "it runs an older relay, which cannot say" if error.code is Code.UNKNOWN_KIND else error.why or error.message

"""All channels of one family of kinds (`attach.*`, `forward.*`): opening them here, serving them for others."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakKeyDictionary

from relay.broker.channel import Channel, Conversation, Message
from relay.broker.inbox import Hear, Opened
from relay.broker.link import Link
from relay.broker.log_words import own_fault
from relay.broker.mesh import Mesh
from relay.broker.passing import Holder, UnderWay
from relay.core.errors import Code, PeerFault, Refused, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.streams import STREAM_BYTES, pack_piece, stream_of
from relay.core.values import frozen

MAX_STREAMS = 256
ASK_AGAIN_S = 3.0
"""How long an opening goes unanswered before it is said again: it may have been dropped in between."""
_MESSAGE = "a message"
_log = logging.getLogger(__name__)

Serve = Callable[[Conversation, BrokerId, str, Message], Awaitable[None]]
"""Serves one channel to its end: the channel, who opened it, the spawn, and what it asked."""


@frozen
class Family:
    """The three kinds of a sort of channel."""

    open: Kind
    data: Kind
    close: Kind
    number: int  # in pieces


ATTACH = Family(Kind.ATTACH_OPEN, Kind.ATTACH_DATA, Kind.ATTACH_CLOSE, 1)
FORWARD = Family(Kind.FORWARD_OPEN, Kind.FORWARD_DATA, Kind.FORWARD_CLOSE, 2)


class Channels:
    """The channels of a family that this broker has with others.

    Args:
        family: the kinds.
        mesh: carries them.
        serve: what to do with one that another broker opens.
    """

    def __init__(self, family: Family, mesh: Mesh, serve: Serve) -> None:
        self._family = family
        self._mesh = mesh
        self._serve = serve
        self._ours: dict[bytes, tuple[BrokerId, Channel]] = {}
        self._theirs: dict[tuple[BrokerId, bytes], Channel] = {}
        self._over: dict[Channel, Link] = {}  # the link that each was opened over
        self._holders: WeakKeyDictionary[Link, Holder] = WeakKeyDictionary()  # of links to others than who talks
        self._starts: dict[Channel, int] = {}  # the incarnation of who opened it
        self._tasks: dict[tuple[BrokerId, bytes], asyncio.Task[None]] = {}
        mesh.on_piece[family.number] = self.heard

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        family = self._family
        return {family.open: self._opened, family.data: self._data, family.close: self._closed}

    # opened here

    async def open(self, peer: BrokerId, spawn: str, ask: Message) -> Channel:
        """A channel with the broker that runs a spawn, once that broker has answered.

        Raises:
            Unreachable: there is no way to it, or it is silent.
            RelayError: it refused.
        """
        link = self._mesh.way_link(peer)
        if link is None:
            raise away()
        stream = os.urandom(STREAM_BYTES)
        silent = partial(self._mesh.fell_silent, peer, link)
        under_way = self._under_way(link, peer, is_told=False)
        channel = Channel(stream, b"", self._sayer(peer, link), self._forget_ours, silent, under_way)
        self._ours[stream] = peer, channel
        self._over[channel] = link
        channel.ends = link.carrier.ends if link.peer == peer else None
        asking = asyncio.get_running_loop().create_task(
            self._ask(link, peer, {"spawn": spawn, "stream": stream, "ask": ask, "heard": 0})
        )
        try:
            await channel.opened()
        except BaseException:
            channel.close()
            raise
        finally:
            asking.cancel()
        return channel

    async def _ask(self, link: Link, peer: BrokerId, request: Message) -> None:
        """Ask until it is answered; the other side takes the same stream once."""
        while True:
            self._mesh.say_over(link, peer, self._family.open, request)
            await asyncio.sleep(ASK_AGAIN_S)

    def _under_way(self, link: Link, peer: BrokerId, *, is_told: bool) -> UnderWay | None:
        return None if link.peer == peer else UnderWay(self._holders.setdefault(link, Holder()), is_told)

    def _sayer(self, peer: BrokerId, link: Link) -> Callable[[str, Message], bool]:
        kinds = {"data": self._family.data, "close": self._family.close}

        def say(what: str, content: Message) -> bool:
            # in order means over one way; that it ended, the other side is told by whatever way there is
            if what == "close" and not self._mesh.stands(link):
                return self._mesh.say(peer, kinds[what], content)
            if what == "data" and link.peer == peer and link.hears_pieces:
                # nobody stands in between: the link itself is what an envelope would be, sealed and proved
                piece = pack_piece(self._family.number, content)
                if piece is not None:
                    return self._mesh.stands(link) and link.say_piece(piece)
            return self._mesh.say_over(link, peer, kinds[what], content)

        return say

    def _forget_ours(self, stream: bytes) -> None:
        if (ours := self._ours.pop(stream, None)) is not None:
            self._over.pop(ours[1], None)

    # opened there

    def _opened(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        key = (origin, stream_of(content, _MESSAGE))
        if type(content["spawn"]) is not str or type(content["ask"]) is not dict:
            raise PeerFault("a request was refused", why="it has another form")
        self._end_former(origin, each.header.incarnation)
        link = self._mesh.link(each.giver)
        if key in self._theirs or link is None:
            return
        session, under_way = os.urandom(STREAM_BYTES), self._under_way(link, origin, is_told="heard" in content)
        channel = Channel(
            key[1], session, self._sayer(origin, link), lambda _: self._ended(key), under_way=under_way
        )
        if sum(peer == origin for peer, _ in self._theirs) >= MAX_STREAMS:
            channel.close(_too_many())
            return
        self._theirs[key] = channel
        channel.ends = link.carrier.ends if link.peer == origin else None
        self._over[channel], self._starts[channel] = link, each.header.incarnation
        self._tasks[key] = asyncio.get_running_loop().create_task(self._served(key, channel, content))

    def _end_former(self, origin: BrokerId, incarnation: int) -> None:
        """A broker that was started anew has forgotten what it had opened before."""
        for (peer, _), channel in list(self._theirs.items()):
            if peer == origin and self._starts[channel] < incarnation:
                channel.broke("the broker that opened it was started anew")

    async def _served(self, key: tuple[BrokerId, bytes], channel: Channel, content: Message) -> None:
        error: RelayError | None = None
        try:
            await self._serve(channel, key[0], content["spawn"], content["ask"])
        except RelayError as fault:
            error = fault
        except Exception:
            _log.exception("serving a channel failed")
            error = own_fault()
        finally:
            self._tasks.pop(key, None)
            channel.close(error)

    def _ended(self, key: tuple[BrokerId, bytes]) -> None:
        # what serves it learns so from `receive`, after what came before the end
        if (theirs := self._theirs.pop(key, None)) is not None:
            self._over.pop(theirs, None)
            self._starts.pop(theirs, None)

    # both

    def _channel(self, origin: BrokerId, content: Message) -> Channel | None:
        stream = stream_of(content, _MESSAGE)
        peer, ours = self._ours.get(stream, ("", None))
        return ours if ours is not None and peer == origin else self._theirs.get((origin, stream))

    def _data(self, each: Opened) -> None:
        self.heard(each.header.origin, each.body.content)

    def heard(self, origin: BrokerId, content: Message) -> None:
        """A `data` of one of these channels came, in an envelope or without."""
        channel = self._channel(origin, content)
        if channel is not None:
            channel.data(content)
        else:
            # an end that its other end has forgotten: a broker that was restarted, or a close that was lost
            answer = {"stream": content["stream"], "session": content["session"], "n": 0, "error": _unknown().to_json()}
            self._mesh.say(origin, self._family.close, answer)

    def _closed(self, each: Opened) -> None:
        channel = self._channel(each.header.origin, each.body.content)
        if channel is not None:
            channel.closed(each.body.content)

    def link_changed(self) -> None:
        """A link came or went: the channels that went over it are broken.

        Whatever other way there is: the other end may be a broker that was started anew, and knows nothing of them. And
        those that nobody has answered yet, where there is a better way now: they may have been asked for on none.
        """
        ends = [*self._ours.values(), *((peer, channel) for (peer, _), channel in self._theirs.items())]
        for peer, channel in ends:
            over = self._over[channel]
            better = not channel.session and over is not self._mesh.way_link(peer, over)
            if not self._mesh.stands(over) or better:
                channel.broke("the link to the other broker, or to the one in between, has ended")

    def close(self) -> None:
        """End them all."""
        for channel in [*(channel for _, channel in self._ours.values()), *self._theirs.values()]:
            channel.broke("the broker stops")


def away(name: str = "that machine") -> Unreachable:
    """The error for a broker that cannot be reached now: what is live waits for nobody."""
    return Unreachable(
        f"{name} cannot be reached now",
        why="attach and forward need both machines awake and a way between them; they are never queued",
        hint="relay brokers",
    )


def _unknown() -> Unreachable:
    return Unreachable(
        "the connection to the other broker broke off", why="that broker was started anew", hint="do it again"
    )


def _too_many() -> Refused:
    return Refused(
        "too many connections at once",
        code=Code.TOO_MANY,
        why=f"a broker serves {MAX_STREAMS} of one peer at a time",
        hint="end some of the others and try again",
    )

"""All channels of one family of kinds (`attach.*`, `forward.*`): opening them here, serving them for others."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relay.broker.channel import Channel, Conversation, Message
from relay.broker.inbox import Hear, Opened
from relay.broker.link import Link
from relay.broker.log_words import own_fault
from relay.broker.mesh import Mesh
from relay.core.errors import Code, PeerFault, Refused, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.streams import STREAM_BYTES, stream_of

MAX_STREAMS = 256
_MESSAGE = "a message"
_log = logging.getLogger(__name__)

Serve = Callable[[Conversation, BrokerId, str, Message], Awaitable[None]]
"""Serves one channel to its end: the channel, who opened it, the spawn, and what it asked."""


@dataclass(frozen=True, slots=True)
class Family:
    """The three kinds of a sort of channel."""

    open: Kind
    data: Kind
    close: Kind


ATTACH = Family(Kind.ATTACH_OPEN, Kind.ATTACH_DATA, Kind.ATTACH_CLOSE)
FORWARD = Family(Kind.FORWARD_OPEN, Kind.FORWARD_DATA, Kind.FORWARD_CLOSE)


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
        self._over: dict[Channel, Link | None] = {}  # the link that each was opened over
        self._tasks: dict[tuple[BrokerId, bytes], asyncio.Task[None]] = {}

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
        stream = os.urandom(STREAM_BYTES)
        channel = Channel(stream, b"", self._sayer(peer), self._forget_ours)
        self._ours[stream] = peer, channel
        self._over[channel] = self._mesh.way_link(peer)
        if not self._mesh.say(peer, self._family.open, {"spawn": spawn, "stream": stream, "ask": ask}):
            channel.close()
            raise away()
        await channel.opened()
        return channel

    def _sayer(self, peer: BrokerId) -> Callable[[str, Message], bool]:
        kinds = {"data": self._family.data, "close": self._family.close}
        return lambda what, content: self._mesh.say(peer, kinds[what], content)

    def _forget_ours(self, stream: bytes) -> None:
        if (ours := self._ours.pop(stream, None)) is not None:
            self._over.pop(ours[1], None)

    # opened there

    def _opened(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        key = (origin, stream_of(content, _MESSAGE))
        if type(content["spawn"]) is not str or type(content["ask"]) is not dict:
            raise PeerFault("a request was refused", why="it has another form")
        if key in self._theirs:
            return
        channel = Channel(key[1], os.urandom(STREAM_BYTES), self._sayer(origin), lambda _: self._ended(key))
        if sum(peer == origin for peer, _ in self._theirs) >= MAX_STREAMS:
            channel.close(_too_many())
            return
        self._theirs[key] = channel
        self._over[channel] = self._mesh.way_link(origin)
        self._tasks[key] = asyncio.get_running_loop().create_task(self._served(key, channel, content))

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

    # both

    def _channel(self, each: Opened) -> Channel | None:
        stream, origin = stream_of(each.body.content, _MESSAGE), each.header.origin
        peer, ours = self._ours.get(stream, ("", None))
        return ours if ours is not None and peer == origin else self._theirs.get((origin, stream))

    def _data(self, each: Opened) -> None:
        channel, content = self._channel(each), each.body.content
        if channel is not None:
            channel.data(content)
        elif content["message"] is not None:
            # an end that its other end has forgotten: a broker that was restarted
            answer = {"stream": content["stream"], "session": content["session"], "n": 0, "error": _unknown().to_json()}
            self._mesh.say(each.header.origin, self._family.close, answer)

    def _closed(self, each: Opened) -> None:
        channel = self._channel(each)
        if channel is not None:
            channel.closed(each.body.content)

    def link_changed(self) -> None:
        """A link came or went: the channels that went over it are broken.

        Whatever other way there is: the other end may be a broker that was started anew, and knows nothing of them. And
        those that nobody has answered yet, where there is a better way now: they may have been asked for on none.
        """
        ends = [*self._ours.values(), *((peer, channel) for (peer, _), channel in self._theirs.items())]
        for peer, channel in ends:
            over = self._over.get(channel)
            better = not channel.session and over is not self._mesh.way_link(peer)
            if over is None or over.ended.is_set() or better or not self._mesh.has_way(peer):
                channel.broke("the link to the other broker, or to the one in between, has ended")

    def close(self) -> None:
        """End them all."""
        for channel in [*(channel for _, channel in self._ours.values()), *self._theirs.values()]:
            channel.broke("the broker stops")


def away() -> Unreachable:
    """The error for a broker that cannot be reached now: what is live waits for nobody."""
    return Unreachable(
        "that machine cannot be reached now",
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

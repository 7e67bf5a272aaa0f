"""One open stream between two brokers: messages both ways, in order, none twice, as many unread as the reader allows.

A channel is as strong as what carries it: a lost piece breaks it, and who wants to go on opens another. Nothing of it
is kept. Either side says at least every 5 s that it is there; over a holder nobody else would tell that it is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from relay.broker import passing
from relay.broker.carrier import Ends
from relay.broker.passing import UnderWay
from relay.core.errors import PeerFault, RelayError, Unreachable, from_json
from relay.core.streams import STREAM_BYTES

WINDOW = 32
"""Messages that may be under way or unread at once; with pieces of 32 KiB, 1 MiB a stream and direction."""
ALIVE_S = 5.0
SILENCE_S = 15.0
Message = dict[str, Any]
Say = Callable[[str, Message], bool]
"""Sends the `data` or `close` of a channel to its peer; False where there is no way."""

AtOnce = Callable[[Message], bool]
"""Takes a message without waiting for anything; where it returns False it has not, and who reads gets it."""


class BrokeOff(Unreachable):
    """What a channel went over has ended; another way may stand by now."""


class Conversation(Protocol):
    """What both ends of a channel are to those who talk, whether it goes over a link or within this broker.

    Attributes:
        ends: of the TCP connection between the machines of the two who talk; None where another broker is in between.
    """

    ends: Ends | None

    async def send(self, message: Message) -> None:
        """Send a message, once there is room for it; raises RelayError where it has ended."""

    async def receive(self) -> Message | None:
        """The next message, None after the last; raises RelayError where it broke."""

    def send_now(self, message: Message) -> bool:
        """Send a message at once; False, and it is not sent, where it cannot be: `send` waits, or says why."""

    @property
    def at_once(self) -> AtOnce | None:
        """Asked to take each message as it comes, while who reads waits in `receive` and nothing stands before it."""

    @at_once.setter
    def at_once(self, take: AtOnce | None) -> None: ...

    def close(self, error: RelayError | None = None) -> None:
        """End it."""


class Channel:
    """One end. Made by `Channels`.

    Args:
        stream: its id, of the side that opened it.
        session: the id that the other side gave it; empty until that side has answered.
        say: carries what is said to the peer.
        over: told when the channel has ended, with its stream.
        silent: told where it breaks because the other side was not heard.
        under_way: what it has under way over a holder; None where the two are linked.
    """

    def __init__(
        self,
        stream: bytes,
        session: bytes,
        say: Say,
        over: Callable[[bytes], None],
        silent: Callable[[], None] = lambda: None,
        under_way: UnderWay | None = None,
    ) -> None:
        self.stream = stream
        self.session = session
        self._say = say
        self._over = over
        self._silent = silent
        self._under_way = under_way
        self._saying: asyncio.TimerHandle | None = None  # what was heard
        self._news = asyncio.Event()
        self._incoming: deque[Message] = deque()
        self._sent = self._acked = self._heard = self._taken = self._told = 0
        self._ended: RelayError | bool | None = False
        self.at_once: AtOnce | None = None
        self.ends: Ends | None = None
        self._is_reading = False
        self._loop = asyncio.get_running_loop()
        self._spoke = self._listened = self._loop.time()
        self._alive = self._loop.call_later(ALIVE_S, self._look)

    # for the two who talk

    async def send(self, message: Message) -> None:
        """Send a message, once there is room for it.

        Raises:
            RelayError: the channel has ended.
        """
        while self._ended is False and not self._has_room(message):
            await self._news.wait()
        self._check()
        self._send(message)

    def send_now(self, message: Message) -> bool:
        """Send a message at once; False, and it is not sent, where there is no room, or the channel has ended."""
        if self._ended is not False or not self._has_room(message):
            return False
        self._send(message)
        return True

    def _has_room(self, message: Message) -> bool:
        self._news.clear()
        if self._sent - self._acked >= WINDOW:
            return False
        return self._under_way is None or self._under_way.has_room(message, self._news)

    def _send(self, message: Message) -> None:
        self._speak(message)
        self._sent += 1
        if self._under_way is not None and self._ended is False:
            self._under_way.sent(self._sent, message)

    async def receive(self) -> Message | None:
        """The next message; None where the other side has closed the channel after its last one.

        Raises:
            RelayError: it broke, or the other side closed it with this error.
        """
        self._is_reading = True
        try:
            while not self._incoming and self._ended is False:
                await self._wait()
        finally:
            self._is_reading = False
        if not self._incoming:
            if isinstance(self._ended, RelayError):
                raise self._ended
            return None
        message = self._incoming.popleft()
        self._has_taken()
        return message

    def close(self, error: RelayError | None = None) -> None:
        """End it here and there; what was sent before arrives before."""
        if self._ended is False:
            told = {"error": error.to_json()} if error is not None else {}
            self._say("close", self._names() | {"n": self._sent} | told)
            self._end(None)

    async def opened(self) -> None:
        """Wait until the other side has answered; it may have ended it by then.

        Raises:
            RelayError: it refused, or did not answer.
        """
        while not self.session and self._ended is False:
            await self._wait()
        if isinstance(self._ended, RelayError) and not self._incoming:
            raise self._ended  # what was all said before the end, and came with it, is there to be received

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended is not False

    # for the mesh

    def data(self, content: Message) -> None:
        """A `data` of this stream came."""
        message, n = content["message"], content["n"]
        if type(n) is not int or type(content["ack"]) is not int or not (message is None or type(message) is dict):
            raise PeerFault("a message was refused", why="it has another form")
        if not self._is_ours(content) or content["session"] != self.session:
            return
        self._listened = self._loop.time()
        may_wait_for_room = self._sent - self._acked >= WINDOW
        self._acked = max(self._acked, min(content["ack"], self._sent))
        if self._under_way is not None:
            self._under_way.heard(content.get("heard"))
        if message is None:
            if n > self._heard:
                self.broke("a piece of it was lost on the way")
        elif n == self._heard and self._is_taken_at_once(message):
            self._say_soon(message)
            if not may_wait_for_room:
                return
        else:
            self._take(n, message)
            self._say_soon(message)
        self._news.set()

    def _say_soon(self, message: Message) -> None:
        """Over a holder, tell the other side what was heard: until then it sends no more than so much."""
        if self._under_way is None or self._ended is not False:
            return
        self._under_way.unsaid += passing.size_of(message)
        if self._under_way.unsaid >= passing.REPORT:
            self._speak(None)
        elif self._under_way.unsaid >= passing.LEAST and self._saying is None:
            self._saying = self._loop.call_later(passing.REPORT_S, self._say_heard)

    def _say_heard(self) -> None:
        self._saying = None
        if self._under_way is not None and self._under_way.unsaid and self._ended is False:
            self._speak(None)

    def closed(self, content: Message) -> None:
        """The other side closed it."""
        if not self._is_ours(content):
            return
        if content["n"] != self._heard:
            self.broke("a piece of it was lost on the way")
            return
        error = content.get("error")
        named = {key: str(error.get(key, ""))[:300] for key in _WORDS} if isinstance(error, dict) else None
        self._end(from_json(named) if named else None)

    def broke(self, why: str) -> None:
        """It can go on no more."""
        if self._ended is False:
            self._say("close", self._names() | {"n": self._sent, "error": _broken(why).to_json()})
            self._end(_broken(why))

    def _is_ours(self, content: Message) -> bool:
        session = content["session"]
        if type(session) is not bytes or self._ended is not False:
            return False
        if not self.session and len(session) == STREAM_BYTES:
            self.session = session
        # what was recorded of an earlier session must not be typed into this one; who gives up early knows none yet
        return session == self.session or not session

    def _is_taken_at_once(self, message: Message) -> bool:
        if self.at_once is None or not self._is_reading or self._incoming or not self.at_once(message):
            return False
        self._heard += 1
        self._has_taken()
        return True

    def _has_taken(self) -> None:
        self._taken += 1
        if self._taken - self._told >= WINDOW // 2 and self._ended is False:
            self._speak(None)

    def _take(self, n: int, message: Message) -> None:
        if n < self._heard:
            return
        if n > self._heard or len(self._incoming) >= WINDOW:
            self.broke("a piece of it was lost on the way" if n > self._heard else "more came than was asked for")
            return
        self._heard += 1
        self._incoming.append(message)

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _speak(self, message: Message | None) -> None:
        self._told, self._spoke = self._taken, self._loop.time()
        content = self._names() | {"n": self._sent, "ack": self._taken, "message": message}
        if self._under_way is not None:
            content["heard"], self._under_way.unsaid = self._heard, 0
        if not self._say("data", content):
            self.broke("there is no way to the other broker any more")

    def _names(self) -> Message:
        return {"stream": self.stream, "session": self.session}

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._listened > SILENCE_S:
            self._silent()
            self.broke("the other broker is silent")
            return
        if self.session and now - self._spoke >= ALIVE_S * 0.9:
            self._speak(None)
        if self._ended is False:
            self._alive = self._loop.call_later(ALIVE_S, self._look)

    def _end(self, error: RelayError | None) -> None:
        self._ended = error
        self._alive.cancel()
        if self._saying is not None:
            self._saying.cancel()
        if self._under_way is not None:
            self._under_way.over()
        self._news.set()
        self._over(self.stream)

    def _check(self) -> None:
        if isinstance(self._ended, RelayError):
            raise self._ended
        if self._ended is None:
            raise _broken("the other side has closed it")


_WORDS = ("code", "message", "why", "hint")


def _broken(why: str) -> Unreachable:
    return BrokeOff("the connection to the other broker broke off", why=why, hint="relay brokers")

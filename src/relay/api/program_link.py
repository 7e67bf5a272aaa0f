"""A program's line to its broker: `POST programs`, lines of JSON both ways on a connection of its own.

    async with await ProgramLink.open(home, hello) as link:
        async for message in link:      # {"welcome"}, {"call"}, {"cancel"}, {"kept"}, {"refused"}, {"end"}
            await link.send({"running": message["call"]["id"]})

One link ends before the next is opened: what was read of the old one up to its end is all that came over it. What a
program says it holds when it opens the next is then true, and the broker gives every other call out once more.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from relay.api import http1
from relay.api.client import CONNECT_S, READ_BYTES, broke_off, document, no_broker, trusted_socket
from relay.api.duplex import ANSWER_S, chunk, head
from relay.api.silence import too_slow
from relay.api.task_token import token_for
from relay.api.tool_routes import PROGRAMS

if TYPE_CHECKING:
    from types import TracebackType

    from relay.api.home import Home
    from relay.core.errors import RelayError

Message = dict[str, Any]


class ProgramLink:
    """One connection. Made by `open`.

    Attributes:
        home: whose broker.
    """

    def __init__(self, home: Home, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.home = home
        self._reader = reader
        self._writer = writer
        self._response = http1.Response()
        self._lines = http1.Lines()
        self._heard: list[Message] = []

    @classmethod
    async def open(cls, home: Home, hello: Message) -> Self:
        """Connect and say who this is and what it offers.

        Args:
            home: whose broker.
            hello: the first line: `program`, `kind`, `title`, `pid`, `started`, `offers`, `holding`.

        Raises:
            RelayError: nobody answers, or the broker refused.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                streams = await asyncio.open_unix_connection(trusted_socket(home), limit=READ_BYTES)
        except TimeoutError as fault:
            raise too_slow(home) from fault
        except OSError as fault:
            raise no_broker(home, fault) from fault
        link = cls(home, *streams)
        try:
            async with asyncio.timeout(ANSWER_S):
                await link._begin(hello)
        except TimeoutError as fault:
            link._writer.close()
            raise too_slow(home) from fault
        except BaseException:
            link._writer.close()
            raise
        return link

    async def _begin(self, hello: Message) -> None:
        self._writer.write(head(PROGRAMS, token_for(self.home.path)))
        await self.send(hello)
        refusal: list[bytes] = []
        while not self._response.status or (self._response.status >= 400 and not self._response.done):
            pieces = await self._more()
            if self._response.status >= 400:
                refusal += pieces
            else:
                self._take(pieces)
        if self._response.status >= 400:
            document(self._response.status, b"".join(refusal), self.home)
            raise broke_off(self.home)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send(self, message: Message) -> None:
        """Say something; returns once it is with the system.

        Raises:
            Unreachable: the broker is gone.
        """
        line = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            self._writer.write(chunk(line))
            await self._writer.drain()
        except OSError as fault:
            raise self._gone() from fault

    async def receive(self) -> Message | None:
        """The next message; None after the last.

        Raises:
            Unreachable: the connection broke.
        """
        while not self._heard:
            if self._response.done:
                return None
            self._take(await self._more())
        return self._heard.pop(0)

    async def _more(self) -> list[bytes]:
        try:
            data = await self._reader.read(READ_BYTES)
            if data:
                return self._response.feed(data)
            self._response.end()
        except (OSError, http1.BadAnswer) as fault:
            raise self._gone() from fault
        return []

    def _take(self, pieces: list[bytes]) -> None:
        self._heard += [json.loads(line) for piece in pieces for line in self._lines.feed(piece)]

    def _gone(self) -> RelayError:
        return broke_off(self.home, "it stopped, or was restarted")

    async def close(self) -> None:
        """Leave; what was not read is lost, and given out again to who connects next and does not hold it."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass

"""The asyncio client of the control socket: a pool of connections, for many calls in flight."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from relay.api import http1
from relay.api.client import LOOK_AFTER_S, broke_off, document, is_order, no_broker, trusted_socket
from relay.api.raw_lines import cutter
from relay.api.routes import FOLLOWED_S
from relay.api.silence import answers, too_slow
from relay.api.task_token import token_for
from relay.core.errors import Misuse, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from types import TracebackType

    from relay.api.home import Home
    from relay.api.routes import Call

Answer = TypeVar("Answer")

READ_BYTES = 256 * 1024
MOST_CONNECTIONS = 64


class _Connection:
    """One stream pair; `fresh` until it has carried an answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.fresh = True

    async def begin(self, data: bytes) -> tuple[http1.Response, list[bytes]]:
        """Send a request and read up to the end of the answer's head."""
        response = http1.Response()
        self.writer.write(data)
        await self.writer.drain()
        pieces: list[bytes] = []
        while not response.status:
            pieces += await self.more(response)
        return response, pieces

    async def more(self, response: http1.Response) -> list[bytes]:
        data = await self.reader.read(READ_BYTES)
        if not data and not response.status:
            raise ConnectionResetError
        if data:
            return response.feed(data)
        response.end()
        return []

    def close(self) -> None:
        self.writer.close()


class AsyncClient:
    """Calls to the broker of a home, any number at a time.

    Args:
        home: whose broker.
        connections: how many connections at most; further calls wait for one.
    """

    def __init__(self, home: Home, connections: int = MOST_CONNECTIONS) -> None:
        self.home = home
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(connections)
        self._looking: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that no call uses."""
        closing, self._idle = self._idle, []
        for connection in closing:
            connection.close()
        await asyncio.gather(*(each.writer.wait_closed() for each in closing), return_exceptions=True)

    async def ask(self, call: Call[Answer]) -> Answer:
        """The broker's answer to a call.

        Raises:
            RelayError: the error the broker answered, or why there is no answer.
        """
        async with _InTime(self, call), self._slots:
            status, body = await self._answered(call)
        answer: Answer = document(status, body, self.home)  # type: ignore[assignment]
        return answer

    async def lines(self, call: Call[Answer]) -> AsyncGenerator[Answer, None]:
        """The documents of a stream, as they come, on a connection of their own.

        Raises:
            RelayError: the error the broker answered, or that it went away.
        """
        async with self._borrowed(None) as connection:
            async with _InTime(self, call):
                response, pieces = await connection.begin(_bytes_of(call, token_for(self.home.path)))
            if response.status >= 400:
                document(response.status, await _rest(connection, response, pieces), self.home)
            cut = cutter(response)
            while True:
                for piece in pieces:
                    for each in cut(piece):
                        yield each
                if response.done:
                    return
                async with _InTime(self, call):
                    pieces = await connection.more(response)

    async def is_answered(self) -> bool:
        """Whether the broker answers anything at all; looked at once, however many calls wonder."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(asyncio.to_thread(answers, self.home.socket))
        return await asyncio.shield(self._looking)

    async def _answered(self, call: Call[Answer]) -> tuple[int, bytes]:
        order, was_sent = is_order(call), False
        while True:
            try:
                async with self._borrowed(self._kept(), order) as connection:
                    response, pieces = await connection.begin(_bytes_of(call, token_for(self.home.path)))
                    body = await _rest(connection, response, pieces)
                    self._keep(connection, response)
                return response.status, body
            except _Stale:
                was_sent = True  # nothing was answered, and a POST carries its operation id
            except Unreachable as fault:
                raise (broke_off(self.home, is_order=True) if was_sent and order else fault) from fault

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.close()
        return None

    def _keep(self, connection: _Connection, response: http1.Response) -> None:
        if response.keep_alive:
            connection.fresh = False
            self._idle.append(connection)

    @asynccontextmanager
    async def _borrowed(self, kept: _Connection | None, order: bool = False) -> AsyncIterator[_Connection]:
        connection = kept or await self._open()
        try:
            yield connection
        except http1.BadAnswer as fault:
            raise broke_off(self.home, str(fault), order) from fault
        except OSError as fault:  # also that nobody is let in: asyncio takes a full queue for a connection
            raise broke_off(self.home, is_order=order) if connection.fresh else _Stale from fault
        finally:
            if connection not in self._idle:
                connection.close()

    async def _open(self) -> _Connection:
        try:
            return _Connection(*await asyncio.open_unix_connection(trusted_socket(self.home), limit=READ_BYTES))
        except OSError as fault:
            raise no_broker(self.home, fault) from fault


class _InTime:
    """A block in which a call is answered: until its patience is over, or the broker answers nobody else either.

    What is followed may be silent for as long as it likes.

    Args:
        client: asks.
        call: what is asked.
    """

    def __init__(self, client: AsyncClient, call: Call[Answer]) -> None:
        self._client = client
        self._is_order = is_order(call)
        self._patience_s = None if call.patience_s >= FOLLOWED_S else call.patience_s
        self._limit = asyncio.timeout(self._patience_s)
        self._later: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        if self._patience_s is not None and self._patience_s > LOOK_AFTER_S:
            self._look_later()

    def _look_later(self) -> None:
        self._later = asyncio.get_running_loop().call_later(LOOK_AFTER_S, self._begin)

    def _begin(self) -> None:
        self._look = asyncio.get_running_loop().create_task(self._looked())

    async def _looked(self) -> None:
        if await self._client.is_answered():
            self._look_later()
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._look is not None:
            self._look.cancel()
        try:
            await self._limit.__aexit__(kind, fault, at)
        except TimeoutError as late:
            raise too_slow(self._client.home, self._is_order) from late


class _Stale(Exception):
    """A kept connection had been closed by the broker before it said anything."""


def no_json(fault: Exception) -> Misuse:
    """The error for a program's values that JSON cannot carry."""
    hint = "give it dicts with texts as keys, lists, texts, numbers, True, False and None"
    return Misuse("what is asked for cannot be carried", why=f"it is no JSON: {fault}"[:300], hint=hint)


def _bytes_of(call: Call[Answer], token: str | None) -> bytes:
    try:
        body = None if call.body is None else json.dumps(call.body).encode()
    except (TypeError, ValueError, RecursionError) as fault:
        raise no_json(fault) from None
    return http1.request(call.method, call.path, body, token)


async def _rest(connection: _Connection, response: http1.Response, pieces: list[bytes]) -> bytes:
    while not response.done:
        pieces += await connection.more(response)
    return b"".join(pieces)

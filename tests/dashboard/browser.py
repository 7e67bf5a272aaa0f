"""What a browser sends, and what others send who are none: HTTP by the standard library, sockets by websockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import websockets

from relay.core.scopes import SCOPES
from relay.testing.node import Node

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.data)

    @property
    def code(self) -> str:
        """The error's."""
        return str(self.document["error"]["code"])


@dataclass
class Browser:
    """One browser of a broker's dashboard.

    Attributes:
        node: the broker.
        port: where its dashboard listens.
        token: its own, once it has one.
        device: what the broker calls it.
        address: what it connects to.
    """

    node: Node
    port: int
    token: str = ""
    device: dict[str, Any] = field(default_factory=dict)
    address: str = "127.0.0.1"

    @classmethod
    def of(cls, node: Node, *scopes: str) -> Browser:
        """A browser that the person of this broker has let in."""
        code, port = code_of(node, *scopes)
        made = cls(node, port)
        answer = made.ask("POST", "/session", {"code": code, "device": "test"})
        assert answer.status == 201, answer.data
        made.token, made.device = answer.document["token"], answer.document["device"]
        return made

    @property
    def origin(self) -> str:
        """Of its page."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str | None) -> Answer:
        """One request; headers with `_` for `-`, None for one that is left out."""
        with self.asked(method, path, body, **headers) as got:
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())

    @contextlib.contextmanager
    def asked(
        self, method: str, path: str, body: Any = None, **headers: str | None
    ) -> Iterator[http.client.HTTPResponse]:
        """The same, once its answer has begun."""
        sent: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}", "Sec-Fetch-Site": "same-origin"}
        sent |= {"Origin": self.origin} if method == "POST" else {}
        sent |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, self.port, timeout=WITHIN)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            yield connection.getresponse()

    def get(self, path: str) -> Any:
        """The document of the API at this path."""
        answer = self.ask("GET", f"/api/v1/{path}")
        assert answer.status == 200, answer.data
        return answer.document

    def post(self, path: str, operation: str = "", **body: Any) -> Answer:
        """A request of the API; one of its own where no operation id is given."""
        return self.ask("POST", f"/api/v1/{path}", {"operation": operation or uuid.uuid4().hex, **body})

    @contextlib.asynccontextmanager
    async def events(self, since: int | None = None, origin: str | None = "") -> AsyncIterator[Socket]:
        """Its socket of events, after the hello; of another page's origin, or of none (None)."""
        async with self.socket(self.origin if origin == "" else origin) as opened:
            await opened.say({"token": self.token, "since": since})
            yield opened

    @contextlib.asynccontextmanager
    async def socket(self, origin: str | None) -> AsyncIterator[Socket]:
        """A socket of which nothing was said."""
        uri = f"ws://127.0.0.1:{self.port}/events"
        async with websockets.connect(uri, origin=origin, proxy=None, open_timeout=WITHIN) as opened:  # type: ignore[arg-type]
            yield Socket(opened)


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that is open."""

    connection: ClientConnection

    async def say(self, document: Any) -> None:
        """Send a message."""
        await self.connection.send(json.dumps(document))

    async def next(self) -> dict[str, Any]:
        """The next message."""
        document: dict[str, Any] = json.loads(await self.connection.recv())
        return document

    async def closing(self) -> int | None:
        """The code that it is closed with, after whatever comes before."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.connection.recv()
        return self.connection.close_code


def code_of(node: Node, *scopes: str) -> tuple[str, int]:
    """A code, as the person of this broker gets one, and the port that it is good at."""
    with node.control() as opened:
        made = opened.post("dashboard/codes", {"scopes": scopes or SCOPES})
    return made["code"], made["port"]

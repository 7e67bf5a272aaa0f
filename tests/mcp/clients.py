"""Clients of MCP servers: the protocol's own, and one that reads the messages as they are."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.testing.node import Node
from tests.mcp.odd import HELLO
from tests.mcp.scripted import NEWEST

if TYPE_CHECKING:
    from mcp.client.client import Client

LEGACY, MODERN = "legacy", "auto"
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def words_of(node: Node, *options: str) -> list[str]:
    """The command line of `relay mcp` for a node."""
    return [sys.executable, "-m", "relay", "--home", str(node.home), "mcp", *options]


@contextlib.asynccontextmanager
async def opened(
    node: Node, *options: str, mode: str = MODERN, folder: Path | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """The protocol's own client, with a `relay mcp` of its own."""
    # here and not above: 1.5 s of processor time, which every worker would spend as it collects
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program, *words = words_of(node, *options)
    started = StdioServerParameters(
        command=program, args=words, env=node.environment(), cwd=folder or node.work
    )
    async with Client(stdio_client(started), mode=mode, **settings) as client:
        yield client


class RawClient:
    """One that sees what is really said.

    Args:
        server: a running one.
        era: `LEGACY` or `MODERN`.
    """

    def __init__(self, server: subprocess.Popen[bytes], era: str) -> None:
        self._server = server
        self._modern = era == MODERN
        self._numbers = itertools.count(2)
        self.notified: list[dict[str, Any]] = []

    def greet(self) -> None:
        """The handshake of the older era."""
        if not self._modern:
            self._say(HELLO)
            self._answer(HELLO["id"])
            self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a request, without what the newer era adds to each."""
        number = self.begin(method, **params)
        answer = self._answer(number)
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        if self._modern:
            assert result.pop("resultType") == "complete"
            result.pop("_meta", None)
        return result

    def begin(self, method: str, **params: Any) -> int:
        """Ask, and wait for nothing; the request's id."""
        number = next(self._numbers)
        told = params | ({"_meta": _ENVELOPE} if self._modern else {})
        self._say({"jsonrpc": "2.0", "id": number, "method": method, "params": told})
        return number

    def cancel(self, number: int) -> None:
        """Ask for it no longer."""
        self._say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})

    def tools(self) -> list[dict[str, Any]]:
        """All definitions."""
        found, page = [], self.ask("tools/list")
        while True:
            found += page["tools"]
            if "nextCursor" not in page:
                return found
            page = self.ask("tools/list", cursor=page["nextCursor"])

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(message).encode() + b"\n")
        self._server.stdin.flush()

    def _answer(self, number: object) -> dict[str, Any]:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            message: dict[str, Any] = json.loads(line)
            if message.get("id") == number:
                return message
            self.notified.append(message)
        raise AssertionError(f"no answer to {number}")


@contextlib.contextmanager
def raw(words: Sequence[str], era: str = LEGACY, env: Mapping[str, str] | None = None) -> Iterator[RawClient]:
    """Such a client of a server that this starts."""
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
        try:
            client = RawClient(server, era)
            client.greet()
            yield client
        finally:
            assert server.stdin is not None
            server.stdin.close()
            server.wait(20)

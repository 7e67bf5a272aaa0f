"""The program behind `relay mcp`: `python -m relay.mcp_server --home DIR --names STYLE`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import socket
import sys

from relay.api import mcp_token
from relay.api.aclient import AsyncClient
from relay.api.home import Home
from relay.mcp_server.calls import Calls
from relay.mcp_server.server import Face
from relay.mcp_server.shared_calls import PATIENCE_S


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was removed under us


async def _serve(home: Home, style: str, patience_s: float, listening: int | None, as_json: bool) -> None:
    async with AsyncClient(home) as client:
        if listening is None:
            await Face(Calls(client, _folder()), style, client, patience_s).serve_stdio()
            return
        from relay.mcp_server.gate import serve_http  # not for the client that waits on standard input

        # where its clients stand, nobody says: what is local needs a folder that is named
        face = Face(Calls(client, None), style, client, patience_s)
        open_for_all = socket.socket(fileno=listening)
        host, port = open_for_all.getsockname()
        told = {"url": f"http://{host}:{port}/mcp", "token_file": home.mcp_token}
        line = json.dumps(told) if as_json else f"{told['url']} serves who brings the token in {home.mcp_token}"
        print(line, flush=True)  # noqa: T201 - not before all is imported: a client that comes then waits for nothing
        await serve_http(face.server, open_for_all, mcp_token.read(home.mcp_token))


def main() -> int:
    """Serve until the client goes away; over HTTP until a signal."""
    parser = argparse.ArgumentParser(prog="relay.mcp_server", description="People use `relay mcp`.")
    parser.add_argument("--home")
    parser.add_argument("--names", choices=("dots", "underscore"), default="dots")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, metavar="SECONDS")
    parser.add_argument("--listening", type=int, metavar="FD", help="a listening socket: HTTP on it")
    parser.add_argument("--json", action="store_true", help="say where it listens as JSON")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)  # standard output is the protocol's
    try:
        asyncio.run(_serve(Home(given.home), given.names, given.patience, given.listening, given.json))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

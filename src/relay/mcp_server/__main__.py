"""The program behind `relay mcp`: `python -m relay.mcp_server --home DIR --names STYLE`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from relay.api.aclient import AsyncClient
from relay.api.home import Home
from relay.mcp_server.calls import Calls
from relay.mcp_server.server import Face


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was removed under us


async def _serve(home: Home, style: str) -> None:
    async with AsyncClient(home) as client:
        await Face(Calls(client, _folder()), style).serve_stdio()


def main() -> int:
    """Serve until the client goes away."""
    parser = argparse.ArgumentParser(prog="relay.mcp_server", description="People use `relay mcp`.")
    parser.add_argument("--home")
    parser.add_argument("--names", choices=("dots", "underscore"), default="dots")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)  # standard output is the protocol's
    try:
        asyncio.run(_serve(Home(given.home), given.names))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

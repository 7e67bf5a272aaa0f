"""`relay mcp`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from relay.cli.invocation import Invocation

STYLES = ("dots", "underscore")
PORT = 7413


def run(invocation: Invocation, *, names: str | None, http: bool, port: int | None, patience: str | None) -> NoReturn:
    """Become the program that serves: one client on standard input and output, or many over HTTP."""
    style = style_of(names)
    words = [sys.executable, "-P", "-m", "relay.mcp_server", "--home", invocation.home.path, "--names", style]
    words += ["--patience", str(_seconds(patience))] if patience is not None else []
    if http:
        words += ["--listening", str(_listening(invocation, PORT if port is None else port))]
        words += ["--json"] if invocation.json else []
    elif port is not None:
        from relay.core.errors import Misuse

        raise Misuse("--port is of --http", why="standard input has no port", hint=f"relay mcp --http --port {port}")
    os.execv(sys.executable, words)  # noqa: S606 - our own program, in the place of this one


def _seconds(patience: str) -> float:
    from relay.api.durations import parse

    return parse(patience)


def _listening(invocation: Invocation, port: int) -> int:
    """The descriptor of a socket, once all is there that is needed to serve on it."""
    from relay.api import mcp_token
    from relay.api.client import not_set_up
    from relay.cli import mcp_http

    home = invocation.home
    if not home.is_set_up:
        raise not_set_up(home)
    mcp_token.make(home.mcp_token)
    mcp_token.read(home.mcp_token)  # what is wrong with it is told here
    return mcp_http.listening(port).detach()


def style_of(names: str | None) -> str:
    """How tools are to be named; `dots` where nothing was said.

    Raises:
        Misuse: there is no such style.
    """
    if names is None or names in STYLES:
        return names or STYLES[0]
    from relay.core.errors import Misuse

    raise Misuse(f"there is no style {names[:40]!r}", why="it is dots or underscore", hint="relay mcp --names dots")

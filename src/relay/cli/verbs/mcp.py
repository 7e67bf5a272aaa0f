"""`relay mcp`."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from relay.cli.invocation import Invocation

STYLES = ("dots", "underscore")


def run(invocation: Invocation, *, names: str | None) -> NoReturn:
    """Become the program that serves; it speaks the protocol on standard output, and nothing else."""
    style = style_of(names)
    words = [sys.executable, "-m", "relay.mcp_server", "--home", invocation.home.path, "--names", style]
    os.execv(sys.executable, words)  # noqa: S606 - our own program, in the place of this one


def style_of(names: str | None) -> str:
    """How tools are to be named; `dots` where nothing was said.

    Raises:
        Misuse: there is no such style.
    """
    if names is None or names in STYLES:
        return names or STYLES[0]
    from relay.core.errors import Misuse

    raise Misuse(f"there is no style {names[:40]!r}", why="it is dots or underscore", hint="relay mcp --names dots")

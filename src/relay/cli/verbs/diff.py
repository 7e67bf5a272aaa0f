"""`relay diff`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from relay.cli import returns, speech
from relay.cli.clean import clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str, stat: bool) -> int:
    """Show what a spawn changed."""
    from relay.git.returning import show

    with returns.returned(invocation, spawn) as (found, back, into):
        made = into / "diff"
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and not invocation.json
        with made.open("wb") as file:
            show(back, Path.cwd(), into, stat, colour, file)
        text = made.read_bytes()
    if invocation.json:
        told: dict[str, Any] = {"id": found["id"], "name": found["name"], "branch": back.branch}
        told |= {"base": back.base, "tip": back.tip}
        told["diffstat"] = found["result"].get("diffstat") if found["result"] else None
        speech.document(told | {"diff": None if stat else text.decode("utf-8", "replace")})
    elif sys.stdout.isatty():
        # what another machine wrote must not steer the terminal; the colours are git's own
        for line in text.decode("utf-8", "replace").split("\n"):
            speech.say("\x1b".join(clean_lines(part) for part in line.split("\x1b")) if colour else clean_lines(line))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    return 0

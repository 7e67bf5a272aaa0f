"""Declares the verbs that act on what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.cli.declaring import verb
from relay.cli.watch import Spawn

if TYPE_CHECKING:
    import typer

SECTION = "Steer"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "stop", "stop:run", SECTION, ("relay stop coder", "relay stop coder@vps"))
    def stop(spawn: Spawn) -> None:
        """End a spawn and everything it started. It is first asked to stop, then made to."""

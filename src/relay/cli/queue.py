"""Declares the verbs that show what has yet to happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.cli.declaring import verb

if TYPE_CHECKING:
    import typer

SECTION = "Queue"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "queue", "queue:run", SECTION, ("relay queue", "relay queue --json"))
    def queue() -> None:
        """List the tasks that have not ended, on every machine."""

    @verb(root, "outbox", "outbox:run", SECTION, ("relay outbox", "relay outbox --json"))
    def outbox() -> None:
        """Show the envelopes on their way: whose, how old, and what they wait for."""

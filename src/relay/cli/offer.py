"""Declares the verbs of what a machine offers to the others."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb, verb_with_more

SECTION = "Offer"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    def look(
        broker: Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="Only of this machine.")] = None,
    ) -> None:
        """List the agents of every machine: installed, which version, logged in, and how the last test ended."""

    agents = verb_with_more(
        root, "agents", "agents:run", SECTION, ("relay agents", "relay agents --broker vps --json"), look
    )

    @verb(
        agents,
        "agents test",
        "agents:test",
        SECTION,
        ("relay agents test claude --broker vps", "relay agents test"),
    )
    def test(
        agent: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An agent; all of them without it.")] = None,
        broker: Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="Where (this machine).")] = None,
        timeout: Annotated[
            str | None, typer.Option("--timeout", metavar="T", help="End a test that takes longer (2m).")
        ] = None,
    ) -> None:
        """Give an agent a real, tiny task, in a new folder and in its most careful mode, and say how that ended.

        Without NAME all that are installed there and logged in are tested, each by a spawn of its own.
        """

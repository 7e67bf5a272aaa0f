"""Declares the verbs that show what has yet to happen."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb, verb_with_more

SECTION = "Queue"
OUTBOX = "Show the envelopes on their way: whose, how old, and what they wait for; and those that were given up."
Envelope = Annotated[str | None, typer.Argument(metavar="[ID]", help="The first letters of an envelope's id.")]
Every = Annotated[bool, typer.Option("--all", help="All dead letters.")]
OnlyFor = Annotated[str | None, typer.Option("--broker", metavar="B", help="With --all: only those for this broker.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "queue", "queue:run", SECTION, ("relay queue", "relay queue --json"))
    def queue() -> None:
        """List the tasks that have not ended, on every machine."""

    outbox = verb_with_more("outbox", OUTBOX, root, "outbox:run", SECTION, ("relay outbox", "relay outbox --json"))

    @verb(
        outbox,
        "outbox retry",
        "outbox:retry",
        SECTION,
        ("relay outbox retry 019ab3f2c8d1", "relay outbox retry --all --broker vps"),
    )
    def retry(envelope: Envelope = None, every: Every = False, broker: OnlyFor = None) -> None:
        """Send dead letters again. One whose task has ended as refused stays dead: ask for the task anew."""

    @verb(
        outbox,
        "outbox drop",
        "outbox:drop",
        SECTION,
        ("relay outbox drop 019ab3f2c8d1", "relay outbox drop --all --dead --broker vps"),
    )
    def drop(
        envelope: Envelope = None,
        every: Every = False,
        dead: Annotated[bool, typer.Option("--dead", help="Dead letters; --all asks for it.")] = False,
        broker: OnlyFor = None,
    ) -> None:
        """Take envelopes out of the outbox. What may have been sent stays: another machine may have it."""

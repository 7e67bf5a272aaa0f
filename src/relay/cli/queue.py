"""Declares the verbs that show what has yet to happen."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import group, verb, verb_with_more

SECTION = "Queue"
OnBroker = Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="On which machine (this one).")]
Envelope = Annotated[str | None, typer.Argument(metavar="[ID]", help="The first letters of an envelope's id.")]
Every = Annotated[bool, typer.Option("--all", help="All dead letters.")]
OnlyFor = Annotated[str | None, typer.Option("--broker", metavar="B", help="With --all: only those for this broker.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    _declare_queue(root)
    _declare_schedules(root)
    _declare_outbox(root)


def _declare_queue(root: typer.Typer) -> None:
    def look(
        status: Annotated[
            list[str] | None,
            typer.Option("--status", "-s", metavar="S", help="Only in this state, or needs_you; may be repeated."),
        ] = None,
    ) -> None:
        """List the tasks that have not ended, on every machine."""

    examples = ("relay queue", "relay queue --status waiting", "relay queue --status needs_you --json")
    queue = verb_with_more(root, "queue", "queue:run", SECTION, examples, look)

    @verb(queue, "queue pause", "queue:pause", SECTION, ("relay queue pause", "relay queue pause --broker vps"))
    def pause(broker: OnBroker = None) -> None:
        """Let nothing start on a machine until it is resumed. What runs goes on, what comes waits."""

    @verb(queue, "queue resume", "queue:resume", SECTION, ("relay queue resume --broker vps",))
    def resume(broker: OnBroker = None) -> None:
        """Let a paused queue go on."""


def _declare_schedules(root: typer.Typer) -> None:
    schedule = group("schedule", "What runs again and again: `relay spawn ... --every T` makes one.", root)

    @verb(schedule, "schedule list", "schedule:show", SECTION, ("relay schedule list", "relay schedule list --json"))
    def show(
        everything: Annotated[bool, typer.Option("--all", "-a", help="Also what was removed or refused.")] = False,
    ) -> None:
        """List the schedules of this machine, and those it has on others."""

    @verb(schedule, "schedule remove", "schedule:remove", SECTION, ("relay schedule remove nightly",))
    def remove(
        schedule: Annotated[
            str, typer.Argument(metavar="ID", help="A schedule: its name, name@broker or the beginning of its id.")
        ],
    ) -> None:
        """Have a schedule run no more, wherever it is. What runs goes on."""


def _declare_outbox(root: typer.Typer) -> None:
    def look() -> None:
        """Show the envelopes on their way: whose, how old, and what they wait for; and those that were given up."""

    outbox = verb_with_more(root, "outbox", "outbox:run", SECTION, ("relay outbox", "relay outbox --json"), look)

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

"""Declares the verbs of what needs a person."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb
from relay.cli.watch import Spawn

STEER, QUEUE = "Steer", "Queue"
Request = Annotated[
    str | None, typer.Option("--request", metavar="R", help="Which of its questions (the first letters of its id).")
]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    _declare_answers(root)
    _declare_ends(root)


def _declare_answers(root: typer.Typer) -> None:
    @verb(root, "review", "review:run", QUEUE, ("relay review", "relay review --json"))
    def review() -> None:
        """List what waits for a person, on every machine: what exactly is asked, and how to answer."""

    @verb(root, "approve", "approve:run", STEER, ("relay approve coder@vps", "relay approve k3j5abcd --request q2w4"))
    def approve(spawn: Spawn, request: Request = None) -> None:
        """Say yes: let a held spawn start, allow what an agent asks for, let a silent task go on."""

    @verb(root, "deny", "deny:run", STEER, ("relay deny coder@vps", 'relay deny coder@vps --reason "not on a Friday"'))
    def deny(
        spawn: Spawn,
        request: Request = None,
        reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for who asked.")] = None,
    ) -> None:
        """Say no: refuse a held spawn, deny what an agent asks for, stop a silent task."""

    @verb(root, "send", "send:run", STEER, ('relay send coder@vps "yes, both"', "relay send build y"))
    def send(
        to: Annotated[str, typer.Argument(metavar="TO", help="A spawn: id prefix, name or name@broker.")],
        text: Annotated[str, typer.Argument(metavar="TEXT", help="A line of text.")],
        request: Request = None,
    ) -> None:
        """Send a line to a running task: the answer to what its agent asks, else to its standard input."""


def _declare_ends(root: typer.Typer) -> None:
    @verb(root, "failures", "failures:run", QUEUE, ("relay failures", "relay failures --json"))
    def failures() -> None:
        """List what ended badly, on every machine, with the last lines of output and the next step."""

    @verb(
        root,
        "resolve",
        "resolve:run",
        QUEUE,
        ('relay resolve build done --notes "fixed by hand"', "relay resolve all failed", "relay resolve build pending"),
    )
    def resolve(
        words: Annotated[
            list[str], typer.Argument(metavar="ID... WORD", help="Spawns, or all; then done, failed or pending.")
        ],
        notes: Annotated[str | None, typer.Option("--notes", metavar="TEXT", help="What there is to say.")] = None,
    ) -> None:
        """Say what an end comes to, so that it is no longer listed; `pending` takes that back."""

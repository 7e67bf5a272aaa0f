"""Declares the verbs that show what runs and what it came to."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import MOST, verb

SECTION = "Watch"

Spawn = Annotated[str, typer.Argument(metavar="ID", help="A spawn: id prefix, name or name@broker.")]
Spawns = Annotated[list[str], typer.Argument(metavar="ID...", help="Spawns: id prefix, name or name@broker.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as it comes.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    _declare_looking(root)
    _declare_waiting(root)
    _declare_streams(root)


def _declare_looking(root: typer.Typer) -> None:
    @verb(root, "show", "show:run", SECTION, ("relay show coder", "relay show coder@vps --json"))
    def show(spawn: Spawn) -> None:
        """Show all that is known of one spawn, and whose word it is."""

    examples = ("relay result coder", "relay result k3j5abcd --json", "relay result wheel --files ./dist")

    @verb(root, "result", "result:run", SECTION, examples)
    def result(
        spawn: Spawn,
        files: Annotated[
            str | None, typer.Option("--files", metavar="DIR", help="Write what it gave back (spawn --collect) there.")
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Over files that are there already.")] = False,
    ) -> None:
        """Print what a spawn came to. Exit status 1 where it has not ended."""


def _declare_waiting(root: typer.Typer) -> None:
    examples = ("relay wait coder", "relay wait build@mini test@mini --timeout 10m", "relay wait red green --any")

    @verb(root, "wait", "wait:run", SECTION, examples)
    def wait(
        spawns: Spawns,
        timeout: Annotated[
            str | None, typer.Option("--timeout", metavar="T", help="Wait no longer than this, such as 10m.")
        ] = None,
        first: Annotated[bool, typer.Option("--any", help="Until the first of them has ended.")] = False,
    ) -> None:
        """Wait until spawns have ended; exit with the first status that is not 0, in the order given.

        What has not ended within --timeout is left as it is; the exit status is 1 then.
        """


def _declare_streams(root: typer.Typer) -> None:
    examples = ("relay logs coder", "relay logs coder@vps -f --tail 50", "relay logs coder --since 10m --plain")

    @verb(root, "logs", "logs:run", SECTION, examples)
    def logs(
        spawn: Spawn,
        follow: Follow = False,
        tail: Annotated[
            int | None, typer.Option("--tail", "-n", min=0, metavar="N", help="Only the last N lines.")
        ] = None,
        since: Annotated[
            str | None, typer.Option("--since", metavar="T", help="Only what is newer: 10m, or 2026-01-31T12:00:00Z.")
        ] = None,
        plain: Annotated[
            bool, typer.Option("--plain", help="Without colours, control and invisible characters.")
        ] = False,
    ) -> None:
        """Print what a spawn has written, the bytes as they were: its output to stdout, its errors to stderr.

        With -f it goes on over lost links and restarts of any broker, each byte once.
        """

    @verb(root, "events", "events:run", SECTION, ("relay events -f --json", "relay events --since 120"))
    def events(
        follow: Follow = False,
        since: Annotated[
            int | None,
            typer.Option(
                "--since", min=0, max=MOST, metavar="SEQ", help="After this number; all that are kept, without -f."
            ),
        ] = None,
    ) -> None:
        """Print what happens: spawns, links, grants, envelopes."""

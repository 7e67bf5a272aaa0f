"""Declares the verbs that list spawns, and what completes their names as one types."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import MOST, verb

SECTION = "Watch"
SORTS = "created, started, ended, name, state, broker or priority"
STATES = "A state, or live, ended, failed, needs_you; may be repeated."
SHELLS = "bash, zsh or fish; words or line is what their scripts ask."
PS = (
    "relay ps",
    "relay ps --state failed --since 1d",
    "relay ps --all --broker vps --label ticket=42 --sort ended",
    "relay ps --name 'build-*' --json",
    "relay ps --watch",
)
COMPLETION = (
    "relay completion bash",
    "relay completion zsh",
    "relay completion fish",
    "relay completion words -- relay show ''",
)


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "ps", "ps:run", SECTION, PS)
    def ps(
        everything: Annotated[bool, typer.Option("--all", "-a", help="Everything that is kept.")] = False,
        broker: Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="Only on this machine.")] = None,
        origin: Annotated[str | None, typer.Option("--origin", metavar="B", help="Only asked for by this one.")] = None,
        state: Annotated[list[str] | None, typer.Option("--state", "-s", metavar="S", help=STATES)] = None,
        agent: Annotated[str | None, typer.Option("--agent", metavar="A", help="Only of this agent.")] = None,
        name: Annotated[str | None, typer.Option("--name", metavar="GLOB", help="Only these, such as 'ci-*'.")] = None,
        label: Annotated[
            list[str] | None, typer.Option("--label", metavar="K=V", help="Only with this label; may be repeated.")
        ] = None,
        since: Annotated[
            str | None, typer.Option("--since", metavar="T", help="Only what changed since: 10m, or RFC 3339.")
        ] = None,
        limit: Annotated[
            int | None, typer.Option("--limit", "-n", min=1, max=MOST, metavar="N", help="At most N.")
        ] = None,
        sort: Annotated[str, typer.Option("--sort", metavar="KEY", help=f"By {SORTS}.")] = "created",
        reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
        known: Annotated[bool, typer.Option("--known", help="Only what is known here; ask no other machine.")] = False,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it live; q ends it.")] = False,
    ) -> None:
        """List what runs and waits, on every machine, and what has ended last.

        What other machines run for others is asked of those in reach that let this one view.
        With --state or --since all that is kept is looked through, as with --all.
        """

    _declare_completion(root)


def _declare_completion(root: typer.Typer) -> None:
    @verb(root, "completion", "completion:run", SECTION, COMPLETION)
    def completion(
        shell: Annotated[str, typer.Argument(metavar="SHELL", help=SHELLS)],
        words: Annotated[
            list[str] | None, typer.Argument(metavar="[WORDS...]", help="What is typed so far, after --.")
        ] = None,
    ) -> None:
        """Print the script that completes verbs, options, names and ids as you type.

        For bash put eval "$(relay completion bash)" into ~/.bashrc; for zsh the same with zsh into
        ~/.zshrc, after compinit; for fish: relay completion fish > ~/.config/fish/completions/relay.fish
        """

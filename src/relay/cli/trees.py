"""Declares the verbs that bring a spawn's changes home."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb

SECTION = "Move"
Ref = Annotated[str, typer.Argument(metavar="ID", help="A spawn: its name, name@broker, or the beginning of its id.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "diff", "diff:run", SECTION, ("relay diff coder", "relay diff coder --stat"))
    def diff(
        spawn: Ref,
        stat: Annotated[bool, typer.Option("--stat", help="Only which files, and how much of each.")] = False,
    ) -> None:
        """Show what a spawn changed in the place that it brought along (--repo, --here), without pulling it.

        Typed in the tree that it was sent from, or in a clone of its repository.
        """

    @verb(root, "pull", "pull:run", SECTION, ("relay pull coder", "relay pull coder --into ../coder-s-work --json"))
    def pull(
        spawn: Ref,
        into: Annotated[
            str | None,
            typer.Option("--into", metavar="DIR", help="Where it goes if your own tree has moved on; a new folder."),
        ] = None,
    ) -> None:
        """Take what a spawn changed into the tree that you stand in, never over your own work.

        A tree that is as it was is moved forward, with uncommitted work or without; else it becomes a branch and a
        worktree beside.
        """

    examples = ("relay clean", "relay clean --dry-run", "relay clean --older-than 7d")

    @verb(root, "clean", "clean_up:run", SECTION, examples)
    def clean(
        older_than: Annotated[
            str | None, typer.Option("--older-than", metavar="T", help="Only of what ended so long ago (1d; or 0).")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    ) -> None:
        """Remove the folders of this machine that spawns worked in (--repo, --here, --cwd new), once they have ended.

        What its origin has not fetched yet stays.
        """

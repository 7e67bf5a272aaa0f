"""Declares the verbs that bring machines together."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb

SECTION = "Workspace"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "invite", "invite:run", SECTION, ("relay invite --link", "relay invite --link --ttl 1h"))
    def invite(
        link: Annotated[bool, typer.Option("--link", help="Print a link that works once.")] = False,
        ttl: Annotated[str | None, typer.Option("--ttl", metavar="T", help="How long it works, such as 1h.")] = None,
    ) -> None:
        """Let one more machine into the workspace. Membership alone gives no right to run anything."""

    @verb(
        root,
        "join",
        "join:run",
        SECTION,
        (
            "relay join 'relay://...'",
            "relay join 'relay://...' --name vps --allow laptop --profile runner --dir ~/projects",
        ),
    )
    def join(
        link: Annotated[str, typer.Argument(metavar="LINK", help="What `relay invite --link` printed.")],
        name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What this broker is called.")] = None,
        allow: Annotated[
            str | None, typer.Option("--allow", metavar="BROKER", help="Also let this member run work here.")
        ] = None,
        profile: Annotated[
            str | None, typer.Option("--profile", metavar="P", help="For --allow: read-only, runner (default) or full.")
        ] = None,
        dirs: Annotated[
            list[str] | None, typer.Option("--dir", metavar="D", help="For --allow: a folder here; may be repeated.")
        ] = None,
    ) -> None:
        """Enter the workspace of another machine, typed on the machine that enters; sets it up where needed."""

    @verb(root, "brokers", "brokers:run", SECTION, ("relay brokers", "relay brokers --json"))
    def brokers() -> None:
        """List the machines of the workspace: reachable or not, and who may do what."""

"""Declares the verbs that bring machines together."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import group, verb

SECTION = "Workspace"
ONE_BROKER = "One machine of the workspace: what is known of it, its name, whether it is there; putting it out."
Named = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or the first letters of its id.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "invite", "invite:run", SECTION, ("relay invite", "relay invite --link --ttl 1h"))
    def invite(
        link: Annotated[bool, typer.Option("--link", help="A link to paste instead of a code to read out.")] = False,
        ttl: Annotated[str | None, typer.Option("--ttl", metavar="T", help="How long it works, such as 1h.")] = None,
    ) -> None:
        """Let one more machine into the workspace. Membership alone gives no right to run anything."""

    @verb(
        root,
        "join",
        "join:run",
        SECTION,
        (
            "relay join",
            "relay join 7-crater-lantern-velvet vps:7411",
            "relay join --name vps --allow laptop --profile runner --dir ~/projects",
        ),
    )
    def join(
        invite: Annotated[
            str | None,
            typer.Argument(metavar="CODE|LINK", help="What `relay invite` printed there; without it, it is asked for."),
        ] = None,
        address: Annotated[
            str | None, typer.Argument(metavar="HOST:PORT", help="With a code: where that machine listens.")
        ] = None,
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
        """Enter the workspace of another machine, typed on the machine that enters; sets it up where needed.

        A link is a secret until it is used, and the words of a command can be read by others on the same machine:
        without one it is asked for, or read from the standard input.
        """

    @verb(root, "brokers", "brokers:run", SECTION, ("relay brokers", "relay brokers --roster", "relay brokers --json"))
    def brokers(
        roster: Annotated[
            bool, typer.Option("--roster", help="Who let whom in and when, who signs, and who was put out by whom.")
        ] = False,
    ) -> None:
        """List the machines of the workspace: reachable or not, and who may do what."""

    _one_broker(group("broker", ONE_BROKER, root))
    _epochs(group("workspace", "The workspace: who signs for it, and the key that opens its links.", root))


def _one_broker(broker: typer.Typer) -> None:
    @verb(broker, "broker show", "broker:show", SECTION, ("relay broker show vps", "relay broker show vps --json"))
    def show(name: Named) -> None:
        """Show everything known of one machine: addresses and where they come from, its record, link and grants."""

    @verb(broker, "broker rename", "broker:rename", SECTION, ("relay broker rename mini-2 mini",))
    def rename(
        name: Named,
        new: Annotated[str, typer.Argument(metavar="NEW", help="What to call it from now on.")],
    ) -> None:
        """Call a machine otherwise: for everybody on the machine that created the workspace, elsewhere for this one."""

    @verb(broker, "broker ping", "broker:ping", SECTION, ("relay broker ping vps", "relay broker ping vps --count 10"))
    def ping(
        name: Named,
        count: Annotated[int, typer.Option("--count", metavar="N", help="How many round trips (3).")] = 3,
    ) -> None:
        """Measure round trips to a machine, answered by its broker. Exit status 1 where it cannot be reached."""

    @verb(broker, "broker forget", "broker:forget", SECTION, ("relay broker forget old-laptop",))
    def forget(name: Named) -> None:
        """Delete what this machine knows of another: addresses, record, last seen. It stays a member."""

    @verb(broker, "broker promote", "broker:promote", SECTION, ("relay broker promote vps",))
    def promote(name: Named) -> None:
        """Make a machine a signer of the roster: it may invite, admit, put out and promote."""

    @verb(
        broker,
        "broker demote",
        "broker:demote",
        SECTION,
        ("relay broker demote vps", 'relay broker demote vps --reason "it is to be sold"'),
    )
    def demote(
        name: Named,
        reason: Annotated[
            str, typer.Option("--reason", metavar="TEXT", help="Why, for people; all members see it.")
        ] = "",
    ) -> None:
        """End a machine's right to sign the roster; it stays a member, and what it has signed so far stays."""

    @verb(
        broker,
        "broker evict",
        "broker:evict",
        SECTION,
        ("relay broker evict old-laptop", 'relay broker evict old-laptop --reason "lost on the train"'),
    )
    def evict(
        name: Named,
        reason: Annotated[
            str, typer.Option("--reason", metavar="TEXT", help="Why, for people; all members see it.")
        ] = "",
    ) -> None:
        """Put a machine out of the workspace: its links are closed, what runs for it is stopped, its grants end."""


def _epochs(workspace: typer.Typer) -> None:
    @verb(workspace, "workspace show", "workspace:show", SECTION, ("relay workspace show",))
    def show() -> None:
        """Show the workspace: who created it and signs for it, its epoch, and who was not seen in that yet."""

    @verb(workspace, "workspace rotate", "workspace:rotate", SECTION, ("relay workspace rotate",))
    def rotate() -> None:
        """Begin a new epoch with a new key, which every member gets and nobody who was put out."""

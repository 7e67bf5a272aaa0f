"""Declares the verbs that move files."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import group, verb

SECTION = "Move"

Ref = Annotated[str, typer.Argument(metavar="HASH|NAME", help="A blob: its name, or the first letters of its hash.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    blob = group("blob", "Files that travel between machines, cut in pieces and known by their hash.", root)
    _declare_moving(blob)
    _declare_keeping(blob)


def _declare_moving(blob: typer.Typer) -> None:
    @verb(
        blob,
        "blob send",
        "blob:send",
        SECTION,
        ("relay blob send backup.tar --broker vps", "relay blob send photo.raw --broker mini --name holiday --wait"),
    )
    def send(
        file: Annotated[str, typer.Argument(metavar="FILE", help="The file; it is copied, and may change afterwards.")],
        broker: Annotated[
            str | None, typer.Option("--broker", "-b", metavar="B", help="The machine that may have it.")
        ] = None,
        name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it there.")] = None,
        ttl: Annotated[
            str | None, typer.Option("--ttl", metavar="T", help="How long it is offered (7d; at most 30d).")
        ] = None,
        wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until that machine has all of it.")] = False,
    ) -> None:
        """Offer a file to another machine, which fetches it when it is there; it must allow the verb `push`."""

    @verb(
        blob,
        "blob get",
        "blob:get",
        SECTION,
        ("relay blob get backup.tar -o /srv/backup.tar", "relay blob get 3fa9c2d10b7e --json"),
    )
    def get(
        blob: Ref,
        output: Annotated[
            str | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file, which must be new.")
        ] = None,
    ) -> None:
        """Fetch a file that was offered to this machine, and write it where -o says.

        Ctrl-C leaves it being fetched.
        """


def _declare_keeping(blob: typer.Typer) -> None:
    @verb(blob, "blob list", "blob:listing", SECTION, ("relay blob list", "relay blob list --json"))
    def listing() -> None:
        """List the files that are kept here, on their way here, or offered to other machines."""

    @verb(blob, "blob remove", "blob:remove", SECTION, ("relay blob remove backup.tar",))
    def remove(blob: Ref) -> None:
        """Delete a file from this machine's blobs and take back what is offered of it; written copies stay."""

"""Declares the verbs that tell a person who is away."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import group, verb

SECTION = "Tell"

Texts = list[str] | None
Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="A channel: its name, or the first letters of its id.")]


def _texts(flag: str, metavar: str, about: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, help=about)
    return option


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    notify = group("notify", "Word on the phone or the desk when work ends, or needs you.", root)
    _declare_adding(notify)
    _declare_keeping(notify)


def _declare_adding(notify: typer.Typer) -> None:
    @verb(
        notify,
        "notify add",
        "notify:add",
        SECTION,
        (
            "relay notify add phone",
            "relay notify add phone --address-file ntfy.txt --via vps,mini",
            "relay notify add desk --on failure --on needs --agent claude",
            "relay notify add mail --instead-of phone --full",
            "relay notify add team --label project=site --link https://relay.example.org/spawns/{spawn}",
        ),
    )
    def add(
        name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the channel.")],
        address_file: Annotated[
            str | None,
            typer.Option("--address-file", metavar="FILE", help="Read the address from this file."),
        ] = None,
        on: Annotated[
            Texts, _texts("--on", "WHAT", "end, failure, needs or asked; may be repeated (end and needs).")
        ] = None,
        by: Annotated[Texts, _texts("--by", "PERSON", "Only what this person or client asked for.")] = None,
        label: Annotated[Texts, _texts("--label", "K[=V]", "Only what has one of these labels.")] = None,
        agent: Annotated[Texts, _texts("--agent", "A", "Only what this agent does.")] = None,
        broker: Annotated[Texts, _texts("--broker", "B", "Only what runs on this machine.")] = None,
        via: Annotated[
            Texts, _texts("--via", "B[,B]", "These machines tell when this one sleeps; they must allow `notify`.")
        ] = None,
        instead_of: Annotated[
            str | None, typer.Option("--instead-of", metavar="CHANNEL", help="Only where that channel fails.")
        ] = None,
        link: Annotated[
            str | None, typer.Option("--link", metavar="URL", help="Where a spawn can be seen; {spawn} is its id.")
        ] = None,
        full: Annotated[bool, typer.Option("--full", help="Say what came of it, not only that it is over.")] = False,
    ) -> None:
        """Be told over a service: ntfy, Slack, Telegram, mail, the desktop, a webhook and many more.

        The address is one of apprise, such as ntfys://ntfy.sh/TOPIC. It has secrets in it: it is asked for by a prompt
        or read from standard input or a file, and shown nowhere again.
        """


def _declare_keeping(notify: typer.Typer) -> None:
    @verb(notify, "notify list", "notify:listing", SECTION, ("relay notify list", "relay notify list --json"))
    def listing() -> None:
        """List the channels, how they do, and those that other machines entrusted to this one."""

    @verb(notify, "notify test", "notify:test", SECTION, ("relay notify test phone",))
    def test(channel: Channel) -> None:
        """Send a test over a channel now, and say whether the service took it; exit 1 where it did not."""

    @verb(
        notify, "notify sent", "notify:sent", SECTION, ("relay notify sent", "relay notify sent --spawn coder --json")
    )
    def sent(
        spawn: Annotated[str | None, typer.Option("--spawn", metavar="ID", help="Only of this spawn.")] = None,
        limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="At most so many (20).")] = None,
    ) -> None:
        """List what was told, what is still to be told, and how that went."""

    @verb(notify, "notify remove", "notify:remove", SECTION, ("relay notify remove phone",))
    def remove(channel: Channel) -> None:
        """Tell over a channel no more; machines that told over it in this one's stead forget it."""

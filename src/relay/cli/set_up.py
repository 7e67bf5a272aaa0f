"""Declares the verbs that set a broker up and look after it."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import group, verb

SECTION = "Set up"

Listen = Annotated[
    list[str] | None, typer.Option("--listen", metavar="HOST:PORT", help="Where the broker listens; may be repeated.")
]

Key = Annotated[str, typer.Argument(metavar="KEY", help="A setting, such as max_parallel.")]
Value = Annotated[list[str], typer.Argument(metavar="VALUE...", help="Its new value; several for a list.")]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    _declare_running(root)
    _declare_looking(root)
    _declare_config(root)
    _declare_identity(root)


def _declare_running(root: typer.Typer) -> None:
    @verb(
        root,
        "init",
        "init:run",
        SECTION,
        ("relay init", "relay init --name vps --listen 0.0.0.0:7411", "relay --home /tmp/b init"),
    )
    def init(
        name: Annotated[
            str | None, typer.Option("--name", metavar="NAME", help="What this broker is called (this machine's name).")
        ] = None,
        listen: Listen = None,
    ) -> None:
        """Make this machine's broker: its identity and a workspace of its own. Writes files only."""

    @verb(root, "up", "up:run", SECTION, ("relay up", "relay up --detach"))
    def up(
        detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running in the background.")] = False,
    ) -> None:
        """Start the broker; it prints where it listens. Without --detach it runs until Ctrl-C."""

    @verb(root, "down", "down:run", SECTION, ("relay down",))
    def down() -> None:
        """Stop the broker. Tasks go on, and are taken up again at the next start; shared MCP servers end with it."""

    @verb(root, "demo", "demo:run", SECTION, ("relay demo", "relay demo --keep"))
    def demo(
        keep: Annotated[bool, typer.Option("--keep", help="Leave both brokers running, with commands to try.")] = False,
    ) -> None:
        """Show the whole of it in seconds: two brokers on this machine, paired, one running work for the other."""


def _declare_looking(root: typer.Typer) -> None:
    @verb(root, "status", "status:run", SECTION, ("relay status", "relay status --json", "relay status --short"))
    def status(
        short: Annotated[bool, typer.Option("--short", help="One line, for prompts and status lines.")] = False,
    ) -> None:
        """Show how this broker is. Exit status 1 where it is not running."""

    @verb(root, "doctor", "doctor:run", SECTION, ("relay doctor", "relay doctor --json"))
    def doctor() -> None:
        """Examine this machine's set-up, each finding with what mends it. Exit status 1 where something is wrong."""

    @verb(root, "version", "version:run", SECTION, ("relay version", "relay version --json"))
    def version() -> None:
        """Print the version."""


def _declare_config(root: typer.Typer) -> None:
    config = group("config", "Read and change this broker's settings (config.toml).", root)

    @verb(config, "config get", "config:get", SECTION, ("relay config get max_parallel",))
    def get(key: Key) -> None:
        """Print one setting, and on stderr what the broker that runs holds where that is another value."""

    @verb(
        config,
        "config set",
        "config:change",
        SECTION,
        ("relay config set max_parallel 8", "relay config set listen 127.0.0.1:7411 100.64.0.7:7411"),
    )
    def change(key: Key, value: Value) -> None:
        """Change one setting in the file, comments kept. A running broker takes it in at its next start."""

    @verb(config, "config list", "config:listing", SECTION, ("relay config list", "relay config list --json"))
    def listing() -> None:
        """Print every setting; on stderr those the running broker holds otherwise. A wrong one is named by its line."""


def _declare_identity(root: typer.Typer) -> None:
    identity = group("identity", "This broker's identity: shown, kept safe, brought back, or changed.", root)

    @verb(identity, "identity show", "identity:show", SECTION, ("relay identity show", "relay identity show --json"))
    def show() -> None:
        """Print this broker's id, to be compared with what another machine shows."""

    @verb(identity, "identity keep", "identity:keep", SECTION, ("relay identity keep",))
    def keep() -> None:
        """Take work in again after this machine's files were restored from an older copy: this one is the real one."""

    @verb(identity, "identity export", "identity:export", SECTION, ("relay identity export ~/relay-keys.json",))
    def export(file: Annotated[str, typer.Argument(metavar="FILE", help="A file that is not there yet.")]) -> None:
        """Write this broker's keys into a file under a passphrase, for the day its disk is lost. It asks for that."""

    @verb(identity, "identity import", "identity:take_back", SECTION, ("relay identity import ~/relay-keys.json",))
    def take_back(file: Annotated[str, typer.Argument(metavar="FILE", help="What identity export wrote.")]) -> None:
        """Put exported keys into a home that has none: this machine takes that broker's place."""

    @verb(identity, "identity new", "identity:new", SECTION, ("relay identity new", "relay identity new --name vps-2"))
    def new(
        name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What this broker is called.")] = None,
    ) -> None:
        """Become another broker: after this machine was copied from one that goes on, or its key was stolen."""

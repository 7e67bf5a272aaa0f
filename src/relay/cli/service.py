"""Declares the verbs that make a broker a service of this user."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import group, verb

SECTION = "Set up"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    service = group("service", "Let this broker come back by itself after a crash and a reboot.", root)

    @verb(
        service,
        "service install",
        "service:install",
        SECTION,
        ("relay service install", "relay service install --print", "relay --home /srv/b service install"),
    )
    def install(
        show: Annotated[bool, typer.Option("--print", help="Print the unit and do nothing else.")] = False,
    ) -> None:
        """Run this broker as a service of yours: started with the machine, and again after a crash.

        The PATH of your login shell is written into it, so that agents are found; no other variable is. Typed again, it
        brings the service up to date and starts its broker anew; what that runs goes on. A broker that runs outside of
        the service is stopped first.
        """

    @verb(service, "service uninstall", "service:uninstall", SECTION, ("relay service uninstall",))
    def uninstall() -> None:
        """Stop the service and remove it. The home stays, and what the broker runs goes on."""

    @verb(
        service, "service status", "service:status", SECTION, ("relay service status", "relay service status --json")
    )
    def status() -> None:
        """Show how the service is. Exit status 1 where the broker would not come back by itself."""

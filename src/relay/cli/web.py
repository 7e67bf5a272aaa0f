"""Declares the verbs of the dashboard."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb, verb_with_more

SECTION = "Look"
SCOPES = "What it may do: of view,approve,spawn,terminal,trust"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    def look(
        no_open: Annotated[bool, typer.Option("--no-open", help="Print the link, and open no browser.")] = False,
        scopes: Annotated[str | None, typer.Option("--scopes", metavar="S", help=f"{SCOPES} (all of them).")] = None,
    ) -> None:
        """Open the dashboard of this machine's broker in a browser, by a link that works once, for two minutes."""

    examples = ("relay dashboard", "relay dashboard --no-open", "relay dashboard --scopes view,approve --json")
    dashboard = verb_with_more(root, "dashboard", "dashboard:run", SECTION, examples, look)
    _declare_devices(dashboard)
    _declare_elsewhere(dashboard)
    _declare_terminal(dashboard)


def _declare_devices(dashboard: typer.Typer) -> None:
    @verb(
        dashboard,
        "dashboard devices",
        "dashboard:devices",
        SECTION,
        ("relay dashboard devices list", "relay dashboard devices revoke phone", "relay dashboard devices --json"),
    )
    def devices(
        action: Annotated[str, typer.Argument(metavar="[list|revoke]", help="What to do (list).")] = "list",
        device: Annotated[
            str | None, typer.Argument(metavar="[DEVICE]", help="With revoke: its name, or the beginning of its id.")
        ] = None,
    ) -> None:
        """List the browsers that may open the dashboard, or take one's right away: what it has open ends at once."""


def _declare_elsewhere(dashboard: typer.Typer) -> None:
    @verb(
        dashboard,
        "dashboard pair",
        "dashboard:pair",
        SECTION,
        ("relay dashboard pair", "relay dashboard pair --scopes view"),
    )
    def pair(
        scopes: Annotated[
            str | None, typer.Option("--scopes", metavar="S", help=f"{SCOPES} (view,approve,spawn).")
        ] = None,
    ) -> None:
        """Show the link for a phone, as a code for its camera. It works once, for two minutes."""

    @verb(
        dashboard,
        "dashboard publish",
        "dashboard_publish:run",
        SECTION,
        ("relay dashboard publish", "relay dashboard publish --off"),
    )
    def publish(
        off: Annotated[bool, typer.Option("--off", help="Serve it to this machine alone again.")] = False,
    ) -> None:
        """Serve the dashboard to the machines of your tailnet, by `tailscale serve`: over HTTPS, to nobody else."""


def _declare_terminal(dashboard: typer.Typer) -> None:
    @verb(
        dashboard,
        "dashboard terminal",
        "dashboard_terminal:run",
        SECTION,
        (
            "relay dashboard terminal",
            "relay dashboard terminal install",
            "relay dashboard terminal install --from xterm-6.0.0.tgz",
            "relay dashboard terminal remove",
        ),
    )
    def terminal(
        action: Annotated[str, typer.Argument(metavar="[show|install|remove]", help="What to do (show).")] = "show",
        source: Annotated[
            str | None, typer.Option("--from", metavar="FILE", help="With install: the package, fetched before.")
        ] = None,
    ) -> None:
        """Have tasks' terminals in the dashboard: fetches xterm.js once, from the npm registry, checked by its hash."""

"""Declares the verbs of what a machine offers to the others."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb, verb_with_more

SECTION = "Offer"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    _declare_agents(root)
    _declare_mcp(root)


def _declare_mcp(root: typer.Typer) -> None:
    def serve(
        names: Annotated[
            str | None,
            typer.Option("--names", metavar="STYLE", help="dots, or underscore for clients that refuse dots."),
        ] = None,
        http: Annotated[
            bool, typer.Option("--http", help="Streamable HTTP on loopback instead, for who brings the token.")
        ] = False,
        port: Annotated[
            int | None,
            typer.Option("--port", metavar="N", help="Of --http (7413); 0 takes a free one.", min=0, max=65535),
        ] = None,
        patience: Annotated[
            str | None,
            typer.Option("--patience", metavar="T", help="Wait so long for another machine's tool (45s)."),
        ] = None,
    ) -> None:
        """Serve the mesh to an agent as MCP tools, on standard input and output; a client of the agent starts this.

        Beside the tools for agents it has those that other machines share (relay tools), under their own names.
        """

    lines = (
        "relay mcp",
        "relay mcp --names underscore",
        "relay mcp --patience 2m",
        "relay mcp --http --port 7500",
    )
    mcp = verb_with_more(root, "mcp", "mcp:run", SECTION, lines, serve)
    examples = ("relay mcp install claude", "relay mcp install codex --yes", "relay mcp install cursor --json")

    @verb(mcp, "mcp install", "mcp_install:run", SECTION, examples)
    def install(
        client: Annotated[
            str, typer.Argument(metavar="CLIENT", help="claude, codex, gemini, opencode or cursor.")
        ],
        names: Annotated[str | None, typer.Option("--names", metavar="STYLE", help="dots or underscore.")] = None,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it without asking.")] = False,
    ) -> None:
        """Write the mesh's tools into the configuration of an agent's client: what is added is shown, and asked for."""


def _declare_agents(root: typer.Typer) -> None:

    def look(
        broker: Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="Only of this machine.")] = None,
    ) -> None:
        """List the agents of every machine: installed, which version, logged in, and how the last test ended."""

    agents = verb_with_more(
        root, "agents", "agents:run", SECTION, ("relay agents", "relay agents --broker vps --json"), look
    )

    @verb(
        agents,
        "agents test",
        "agents:test",
        SECTION,
        ("relay agents test claude --broker vps", "relay agents test"),
    )
    def test(
        agent: Annotated[str | None, typer.Argument(metavar="[NAME]", help="An agent; all of them without it.")] = None,
        broker: Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="Where (this machine).")] = None,
        timeout: Annotated[
            str | None, typer.Option("--timeout", metavar="T", help="End a test that takes longer (2m).")
        ] = None,
    ) -> None:
        """Give an agent a real, tiny task, in a new folder and in its most careful mode, and say how that ended.

        Without NAME all that are installed there and logged in are tested, each by a spawn of its own.
        """

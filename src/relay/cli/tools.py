"""Declares the verbs of tools that machines share."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb, verb_with_more

SECTION = "Offer"

Tool = Annotated[str, typer.Argument(metavar="NAME", help="A tool, as `relay tools` lists it.")]
Call = Annotated[str, typer.Argument(metavar="ID", help="A call: its id, as `relay tools call` told it.")]
Broker = Annotated[str | None, typer.Option("--broker", "-b", metavar="B", help="Of this machine.")]
LISTS = ("relay tools", "relay tools --broker vps --json")


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    def bare(broker: Broker = None, everything: Annotated[bool, typer.Option("--all", "-a", help=ALL)] = False) -> None:
        """List the tools that other machines share with this one, and what is offered and shared here."""

    tools = verb_with_more(root, "tools", "tools:run", SECTION, LISTS, bare)
    _declare_sharing(tools)
    _declare_showing(tools)
    _declare_calls(tools)


ALL = "Hidden ones too."


def _declare_sharing(tools: typer.Typer) -> None:
    examples = (
        'relay tools share files --mcp "npx -y @modelcontextprotocol/server-filesystem /home/me/notes"',
        "relay tools share github --mcp github-mcp-server --env GITHUB_TOKEN --only search_issues",
        "relay tools share --runner transcribe",
    )

    @verb(tools, "tools share", "tools_share:run", SECTION, examples)
    def share(
        name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="What to call the share.")] = None,
        mcp: Annotated[
            str | None, typer.Option("--mcp", metavar="COMMAND", help="An MCP server on standard input and output.")
        ] = None,
        runner: Annotated[
            str | None, typer.Option("--runner", metavar="NAME", help="A function that a program here serves.")
        ] = None,
        only: Annotated[
            list[str] | None, typer.Option("--only", metavar="TOOL", help="Of its tools only this; may be repeated.")
        ] = None,
        env: Annotated[
            list[str] | None,
            typer.Option("--env", metavar="VAR", help="A variable that it gets, of your environment or asked for."),
        ] = None,
    ) -> None:
        """Share the tools of an MCP server, or one runner, with the machines that may use tools here.

        This machine's broker starts the server, and keeps it running; it needs no other program. A machine may use
        what is shared once it is let in: relay trust allow BROKER --verb tool. A variable has its value from your
        environment; where it has none there, it is asked for unseen. The value is kept in this broker's store.
        """

    @verb(tools, "tools unshare", "tools_share:unshare", SECTION, ("relay tools unshare files",))
    def unshare(
        name: Annotated[str, typer.Argument(metavar="NAME", help="A share.")],
    ) -> None:
        """Share it no more: its server is ended, and what waits for it is refused."""


def _declare_showing(tools: typer.Typer) -> None:
    @verb(tools, "tools list", "tools:run", SECTION, ("relay tools list", "relay tools list --all --json"))
    def listing(
        broker: Broker = None, everything: Annotated[bool, typer.Option("--all", "-a", help=ALL)] = False
    ) -> None:
        """List the tools that other machines share with this one, and what is offered and shared here."""

    @verb(tools, "tools shares", "tools:shares", SECTION, ("relay tools shares", "relay tools shares --json"))
    def shares() -> None:
        """List what is shared here, and how the server of each does."""

    @verb(
        tools,
        "tools hide",
        "tools_hide:hide",
        SECTION,
        ("relay tools hide delete_file", "relay tools hide read_file --broker vps"),
    )
    def hide(name: Tool, broker: Broker = None) -> None:
        """Show a tool to no MCP client of this machine; it can still be called by name."""

    @verb(tools, "tools unhide", "tools_hide:unhide", SECTION, ("relay tools unhide delete_file",))
    def unhide(name: Tool, broker: Broker = None) -> None:
        """Show it again."""


def _declare_calls(tools: typer.Typer) -> None:
    examples = (
        'relay tools call read_text_file \'{"path": "/home/me/notes/todo.md"}\'',
        "relay tools call transcribe @job.json --broker mini --no-wait",
        "relay tools call summarize - --timeout 10m --json",
    )

    @verb(tools, "tools call", "tools_call:run", SECTION, examples)
    def call(
        name: Tool,
        arguments: Annotated[
            str | None,
            typer.Argument(metavar="[JSON]", help="Its arguments: a JSON object, @FILE, or - for standard input."),
        ] = None,
        broker: Annotated[
            str | None, typer.Option("--broker", "-b", metavar="B", help="Where, if more than one machine has it.")
        ] = None,
        timeout: Annotated[
            str | None, typer.Option("--timeout", metavar="T", help="End it after so long, once it runs.")
        ] = None,
        ttl: Annotated[
            str | None, typer.Option("--ttl", metavar="T", help="Do not begin it after so long (7d).")
        ] = None,
        wait: Annotated[
            bool, typer.Option("--wait/--no-wait", help="Wait for its end, or answer once it is durable.")
        ] = True,
    ) -> None:
        """Run a tool once, here or on the machine that has it, and print what it gives.

        A machine that sleeps runs it when it is back. Exit status: 0 done; 1 failed; 124 timed out; 123 lost (it may
        have acted); 125 refused or expired, and nothing ran; 130 stopped, or Ctrl-C, which leaves it running.
        """

    @verb(tools, "tools calls", "tools:calls", SECTION, ("relay tools calls", "relay tools calls -n 5 --json"))
    def calls(
        limit: Annotated[
            int | None, typer.Option("--limit", "-n", min=1, max=1000, metavar="N", help="At most so many (20).")
        ] = None,
    ) -> None:
        """List the calls that are known here, newest first: those that were made here, and those that run here."""

    @verb(
        tools,
        "tools result",
        "tools_call:result",
        SECTION,
        ("relay tools result c3kq7h5n2m4p6r2t", "relay tools result c3kq7h5n2m4p6r2t --wait --json"),
    )
    def result(
        call: Call, wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False
    ) -> None:
        """Print what a call came to; its exit status is the call's, and 1 where it has not ended."""

    @verb(tools, "tools stop", "tools_call:stop", SECTION, ("relay tools stop c3kq7h5n2m4p6r2t",))
    def stop(call: Call) -> None:
        """Stop a call, wherever it is; what its tool has done already is done."""

"""Declares the verbs about who may do what on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import MOST, group, verb

SECTION = "Trust"

Broker = Annotated[str, typer.Argument(metavar="BROKER", help="A member, by name or the first letters of its id.")]
Brokers = Annotated[list[str], typer.Argument(metavar="BROKER...", help="Members, by name or first letters of the id.")]


def _many(flag: str, metavar: str, about: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, help=f"{about}; may be repeated.")
    return option


def declare(root: typer.Typer) -> None:
    """Add the verbs."""
    trust = group("trust", "Who may do what on this machine (trust.toml). Nothing is allowed by default.", root)
    _declare_changes(trust)
    _declare_looking(trust)
    _declare_audit(group("audit", "What was allowed and refused on this machine.", root))


def _declare_changes(trust: typer.Typer) -> None:
    @verb(
        trust,
        "trust allow",
        "trust_allow:run",
        SECTION,
        (
            "relay trust allow laptop --profile runner --dir ~/projects",
            "relay trust allow laptop --agent shell --dir new --expires 30d",
            "relay trust allow laptop --rate 20/1h --hours 'mon-fri 08:00-18:00'",
        ),
    )
    def allow(
        brokers: Brokers,
        profile: Annotated[str | None, typer.Option("--profile", metavar="P", help="read-only, runner, full.")] = None,
        verbs: Annotated[list[str] | None, _many("--verb", "V", "What it may do, such as spawn or view")] = None,
        agents: Annotated[list[str] | None, _many("--agent", "A", "An agent it may run")] = None,
        dirs: Annotated[list[str] | None, _many("--dir", "D", "A folder it may work in, or `new`")] = None,
        mode: Annotated[str | None, typer.Option("--mode", metavar="M", help="Up to plan, edit or full.")] = None,
        max_parallel: Annotated[
            int | None, typer.Option("--max-parallel", metavar="N", help="How many at once; more wait.")
        ] = None,
        ask: Annotated[
            bool | None, typer.Option("--ask/--no-ask", help="Hold each request until a person says yes.")
        ] = None,
        expires: Annotated[
            str | None, typer.Option("--expires", metavar="T", help="When it and what it let run end: 30d; or `never`.")
        ] = None,
        rate: Annotated[
            str | None, typer.Option("--rate", metavar="N/T", help="How many may start in a time, as 20/1h; or `none`.")
        ] = None,
        hours: Annotated[
            list[str] | None,
            _many("--hours", "H", "When tasks may start, as `mon-fri 08:00-18:00`, in place of before; or `any`"),
        ] = None,
    ) -> None:
        """Let other brokers act on this machine. Adds to what they may do already."""

    @verb(trust, "trust revoke", "trust_revoke:run", SECTION, ("relay trust revoke laptop",))
    def revoke(broker: Broker) -> None:
        """Take every right on this machine from a broker: its tasks here are stopped, its queue is dropped."""


def _declare_looking(trust: typer.Typer) -> None:
    @verb(trust, "trust list", "trust_list:run", SECTION, ("relay trust list", "relay trust list --json"))
    def listing() -> None:
        """List who may do what on this machine."""

    @verb(
        trust,
        "trust test",
        "trust_test:run",
        SECTION,
        ("relay trust test laptop", "relay trust test laptop --agent claude --dir ~/projects/site --mode full",
         "relay trust test laptop --repo https://example.org/site.git --push", "relay trust test laptop --dir new"),
    )
    def test(
        broker: Broker,
        verb_: Annotated[str, typer.Option("--verb", metavar="V", help="What it would do.")] = "spawn",
        agent: Annotated[str | None, typer.Option("--agent", metavar="A", help="Which agent it would run.")] = None,
        directory: Annotated[str | None, typer.Option("--dir", metavar="D", help="In which folder, or `new`.")] = None,
        mode: Annotated[str | None, typer.Option("--mode", metavar="M", help="plan, edit or full.")] = None,
        repo: Annotated[str | None, typer.Option("--repo", metavar="URL", help="In a worktree of this.")] = None,
        push: Annotated[bool, typer.Option("--push", help="With --repo: and push what it changed.")] = False,
    ) -> None:
        """Tell whether a broker may do something here, without doing it. Exit status 1 for no."""


def _declare_audit(audit: typer.Typer) -> None:
    @verb(
        audit,
        "audit show",
        "audit:show",
        SECTION,
        ("relay audit show", "relay audit show --limit 20 --json", "relay audit show -f"),
    )
    def show(
        limit: Annotated[
            int | None, typer.Option("--limit", min=0, max=MOST, metavar="N", help="Only the last N.")
        ] = None,
        follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with each new one, until Ctrl-C.")] = False,
    ) -> None:
        """Show the latest decisions on this machine, allowed and refused."""

    @verb(audit, "audit export", "audit:export", SECTION, ("relay audit export", "relay audit export --since 1200"))
    def export(
        since: Annotated[
            int | None, typer.Option("--since", min=0, max=MOST, metavar="SEQ", help="Only those after this one.")
        ] = None,
    ) -> None:
        """Print every decision, oldest first, one JSON object a line."""

    @verb(audit, "audit verify", "audit:verify", SECTION, ("relay audit verify",))
    def verify() -> None:
        """Check that nothing in the audit log was changed or cut, and that it has what other brokers saw of it.

        Exit status 1 where something is missing.
        """

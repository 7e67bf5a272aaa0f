"""Declares the verbs that run things."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb
from relay.core.wishes import MAX_PRIORITY, MAX_RETRIES, MAX_TURNS

SECTION = "Run"

Text = str | None


def _option(flag: str, metavar: str, about: str, short: str = "") -> typer.models.OptionInfo:
    names = (flag, short) if short else (flag,)
    option: typer.models.OptionInfo = typer.Option(*names, metavar=metavar, help=about)
    return option


Priority = Annotated[
    int | None,
    typer.Option("--priority", min=-MAX_PRIORITY, max=MAX_PRIORITY, metavar="N", help="Higher ones start first (0)."),
]
After = Annotated[
    list[str] | None, _option("--after", "ID", "Not before this one is done; with its failure this ends too.")
]
AfterSuccess = Annotated[list[str] | None, _option("--after-success", "ID", "The same, spelled out.")]
AfterAny = Annotated[list[str] | None, _option("--after-any", "ID", "Not before this one has ended, however.")]
At = Annotated[Text, _option("--at", "T", "Not before `22:00` (the next), `2h` from now, or an RFC 3339 time to come.")]
Retries = Annotated[
    int | None,
    typer.Option("--retries", min=0, max=MAX_RETRIES, metavar="N", help="Try again so often, where that may help."),
]


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(
        root,
        "spawn",
        "spawn:run",
        SECTION,
        (
            'relay spawn coder claude "Implement the plan" --broker vps --cwd /srv/site',
            'relay spawn build shell "make test" --broker mini --cwd /srv/site --wait',
            "relay spawn build exec --broker mini --cwd /srv/site --follow -- make test",
            'relay spawn coder claude "Fix the tests" --broker vps --here --wait && relay pull coder',
            'relay spawn coder claude "Fix #7" --broker vps --repo https://example.org/me/site.git@main --push',
            "relay spawn - claude @plan.md --timeout 2h --label ticket=42",
            "relay spawn top shell top --tty --broker vps --cwd new && relay attach top",
            'relay spawn wheel shell "make wheel" --broker mini --cwd /srv/site --collect "dist/*.whl"',
            "relay spawn coder claude @plan.md --broker vps --cwd /srv/site --dry-run",
            'relay spawn ship shell "make ship" --broker mini --cwd /srv/site --after build --retries 3',
            'relay spawn ship shell "make ship" --broker mini --cwd /srv/site --notify',
            'relay spawn nightly shell "make backup" --broker vps --cwd /srv --every "30 2 * * *"',
        ),
    )
    def spawn(
        name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it; `-` makes a name up.")],
        agent: Annotated[str, typer.Argument(metavar="AGENT", help="claude, codex, ..., shell or exec.")],
        words: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[TASK | -- ARGV...]", help="The task; `-` reads stdin, @FILE a file. For exec: its words."
            ),
        ] = None,
        broker: Annotated[Text, _option("--broker", "B", "On which machine (this one).", "-b")] = None,
        cwd: Annotated[Text, _option("--cwd", "D", "In which folder there; `new` for a fresh one.", "-C")] = None,
        mode: Annotated[Text, _option("--mode", "M", "How far it may go unasked: plan, edit or full (edit).")] = None,
        model: Annotated[Text, _option("--model", "M", "The model, for agents that know models.")] = None,
        timeout: Annotated[Text, _option("--timeout", "T", "End it after so long, such as 30m.")] = None,
        label: Annotated[list[str] | None, _option("--label", "K=V", "A label; may be repeated.")] = None,
        ttl: Annotated[Text, _option("--ttl", "T", "Not to be started later than this (7d; at most 30d).")] = None,
        memory: Annotated[Text, _option("--memory", "SIZE", "Bytes that it may use with all it starts: 2GiB.")] = None,
        cpus: Annotated[Text, _option("--cpus", "N", "Processors that it may use with all it starts: 1.5.")] = None,
        keep_awake: Annotated[
            bool, typer.Option("--keep-awake", help="Keep that machine from sleeping while it runs.")
        ] = False,
        max_turns: Annotated[
            int | None,
            typer.Option(
                "--max-turns", min=1, max=MAX_TURNS, metavar="N", help="How often the agent may ask its model."
            ),
        ] = None,
        on_limit: Annotated[
            Text, _option("--on-limit", "WHAT", "When a usage limit is reached: fail, or wait for its reset (fail).")
        ] = None,
        tty: Annotated[bool, typer.Option("--tty", "-t", help="Run it on a terminal: relay attach.")] = False,
        stdin: Annotated[bool, typer.Option("--stdin", help="Keep its input open: relay attach, relay send.")] = False,
        repo: Annotated[
            Text, _option("--repo", "URL[@REF]", "Fetch this repository there, and work in a fresh worktree of it.")
        ] = None,
        here: Annotated[
            bool, typer.Option("--here", help="Send this tree along as it is, uncommitted work too, and work in it.")
        ] = False,
        push: Annotated[bool, typer.Option("--push", help="With --repo: push what it changed, as relay/NAME.")] = False,
        push_to: Annotated[Text, _option("--push-to", "REMOTE", "Push it there instead: a URL.")] = None,
        priority: Priority = None,
        after: After = None,
        after_success: AfterSuccess = None,
        after_any: AfterAny = None,
        at: At = None,
        every: Annotated[
            Text, _option("--every", "T", "Run it again and again: every 6h, or by five cron fields.")
        ] = None,
        retries: Retries = None,
        collect: Annotated[
            list[str] | None, _option("--collect", "GLOB", "Bring these files of its folder back; may be repeated.")
        ] = None,
        notify: Annotated[
            bool, typer.Option("--notify", help="Tell me over every channel, whatever their rules: relay notify.")
        ] = False,
        wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for its end; exit with its status.")] = False,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait, and show its output as it comes.")] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Ask that machine what would become of it; start and queue nothing.")
        ] = False,
        idempotency_key: Annotated[
            Text, _option("--idempotency-key", "K", "Sent again with the same key, it does not run again.")
        ] = None,
    ) -> None:
        """Run an agent, a command or a program, here or on another machine.

        Answers as soon as the request is durable; a machine that sleeps gets it when it is back.
        """

"""Declares the verbs that act on what runs."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb
from relay.cli.run import After, AfterAny, AfterSuccess, Priority, Retries
from relay.cli.watch import Spawn, Spawns

SECTION = "Steer"


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    @verb(root, "stop", "stop:run", SECTION, ("relay stop coder", "relay stop coder@vps build@mini"))
    def stop(spawns: Spawns) -> None:
        """End spawns and everything they started, and say what they left. They are first asked to stop, then made to.

        A machine that sleeps gets it when it is back: the stop is queued.
        """

    @verb(root, "pause", "pause:pause", SECTION, ("relay pause coder@vps",))
    def pause(spawn: Spawn) -> None:
        """Keep a spawn that has not started from starting. One that runs is refused: it can be stopped."""

    @verb(root, "resume", "pause:resume", SECTION, ("relay resume coder@vps",))
    def resume(spawn: Spawn) -> None:
        """Let a paused spawn start when its turn comes."""

    @verb(root, "retry", "retry:run", SECTION, ("relay retry build", "relay retry k3j5abcd --json"))
    def retry(spawn: Spawn) -> None:
        """Have a spawn that has ended run once more: another attempt of it, the earlier ones kept."""

    @verb(
        root,
        "continue",
        "go_on:run",
        SECTION,
        ('relay continue coder@vps "now fix the tests"', "relay continue k3j5abcd @more.md --follow"),
    )
    def go_on(
        spawn: Spawn,
        text: Annotated[str, typer.Argument(metavar="TEXT", help="What to do now; - reads stdin, @FILE a file.")],
        wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for its end; exit with its status.")] = False,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait, and show its output as it comes.")] = False,
    ) -> None:
        """Have the agent of a spawn that has ended go on: same session, same place, another attempt.

        It may have ended in any way. Agents that name no session, and commands, can only be run anew: `relay retry`.
        """

    _declare_edit(root)


def _declare_edit(root: typer.Typer) -> None:
    @verb(
        root,
        "edit",
        "edit:run",
        SECTION,
        (
            "relay edit build --priority 10 --timeout 1h",
            'relay edit build "make test" --after lint --label team=core',
            "relay edit build --after none",
            "relay edit build --at now",
        ),
    )
    def edit(
        spawn: Spawn,
        words: Annotated[
            list[str] | None, typer.Argument(metavar="[TASK | -- ARGV...]", help="Another task, as for `spawn`.")
        ] = None,
        cwd: Annotated[str | None, typer.Option("--cwd", "-C", metavar="D", help="In which folder there.")] = None,
        mode: Annotated[str | None, typer.Option("--mode", metavar="M", help="plan, edit or full.")] = None,
        model: Annotated[str | None, typer.Option("--model", metavar="M", help="The model.")] = None,
        timeout: Annotated[str | None, typer.Option("--timeout", metavar="T", help="End it after so long.")] = None,
        label: Annotated[
            list[str] | None, typer.Option("--label", metavar="K=V", help="A label to add or change; may be repeated.")
        ] = None,
        ttl: Annotated[
            str | None,
            typer.Option("--ttl", metavar="T", help="Not to be started later than so long from now, or from --at."),
        ] = None,
        priority: Priority = None,
        after: After = None,
        after_success: AfterSuccess = None,
        after_any: AfterAny = None,
        at: Annotated[
            str | None,
            typer.Option(
                "--at", metavar="T", help="Not before `22:00` (the next), `2h` from now, or an RFC 3339 time; or `now`."
            ),
        ] = None,
        retries: Retries = None,
    ) -> None:
        """Change what has not started, here or on another machine. What is not given stays.

        The grant is judged anew. What a person has approved is held again when it is changed: the yes was to another.
        """

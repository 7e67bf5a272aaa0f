"""Declares the verbs that reach into what runs: its terminal, its ports."""

from __future__ import annotations

from typing import Annotated

import typer

from relay.cli.declaring import verb
from relay.cli.watch import SECTION, Spawn


def declare(root: typer.Typer) -> None:
    """Add the verbs."""

    attached = ("relay attach coder", "relay attach top@vps --view", "relay attach coder@vps --take")

    @verb(root, "attach", "attach:run", SECTION, attached)
    def attach(
        spawn: Spawn,
        view: Annotated[bool, typer.Option("--view", help="Only look; somebody else may drive.")] = False,
        detach_key: Annotated[
            str | None, typer.Option("--detach-key", metavar="K", help="The key that leaves it running (ctrl-]).")
        ] = None,
        take: Annotated[
            bool, typer.Option("--take", help="End its turn, and open its agent's own interface in the same session.")
        ] = False,
    ) -> None:
        """Show a task on this terminal and type into it, wherever it runs, until it has ended.

        A task without a terminal of its own (spawn --tty) is followed as logs -f does; where its input is open (spawn
        --stdin), each line you type is sent to it. With --take you drive the agent yourself; leaving it with the
        detach key lets it wait for you there, and `relay continue` has it go on alone.
        """

    examples = ("relay forward web 8080", "relay forward web@vps 8080 --local 9000")

    @verb(root, "forward", "forward:run", SECTION, examples)
    def forward(
        spawn: Spawn,
        port: Annotated[str, typer.Argument(metavar="PORT", help="A port on the loopback of its machine.")],
        local: Annotated[
            int | None, typer.Option("--local", metavar="PORT", help="The port here (the same; 0 takes a free one).")
        ] = None,
    ) -> None:
        """Bring a port of the machine that runs a task to this machine's loopback, for as long as the task runs."""

"""The typer application: the single definition of the command's surface."""

from __future__ import annotations

import functools

import typer

from relay.cli import (
    blobs,
    live,
    looking,
    notify,
    offer,
    persons,
    queue,
    run,
    service,
    set_up,
    steer,
    tools,
    trees,
    trust,
    watch,
    web,
    workspace,
)
from relay.cli.declaring import HomeFolder, Json, keep_common
from relay.cli.parsing import Parsed

ABOUT = "Run agents, scripts and tools on any of your machines, from any other."


@functools.cache
def build() -> typer.Typer:
    """The application with every verb declared."""
    root = typer.Typer(
        name="relay",
        help=ABOUT,
        rich_markup_mode=None,
        add_completion=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    root.callback(invoke_without_command=True)(_bare)
    first = (set_up, service, workspace, trust, run, looking, watch, live, steer)
    for room in (*first, persons, queue, trees, blobs, offer, tools, notify, web):
        room.declare(root)
    return root


def _bare(context: typer.Context, json: Json = False, home: HomeFolder = None) -> Parsed:
    keep_common(context, json, home)
    return Parsed("", context.obj)

"""The files that a spawn gave back: listed, and written into a folder."""

from __future__ import annotations

import os
import time

from relay.api import routes
from relay.api.sizes import spoken
from relay.cli import speech
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.client import Client
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation

QUIET_S = 1.0
WENT = "it went to "  # as in core.collected, which costs time to import
MOST_LISTED = 20


def say_files(spawn: Spawn, invocation: Invocation) -> None:
    """Say on stderr which files there are, whether they are here, and how to have them."""
    files = spawn["result"].get("files") or [] if spawn["result"] else []
    for each in files[:MOST_LISTED]:
        stands = "here" if each["here"] else f"not here: {clean(each['why'] or '')}"
        speech.note(f"file:  {clean(each['path'])}  {spoken(each['size'])}  {stands}")
    if len(files) > MOST_LISTED:
        speech.note(f"file:  and {len(files) - MOST_LISTED} more")
    if any(each["here"] or not (each["why"] or "").startswith(WENT) for each in files):
        command = invocation.home.command(f"result {spawn['id'][:8]} --files DIR")
        speech.note(f"try:   {command}")


def write(invocation: Invocation, client: Client, spawn: Spawn, folder: str, force: bool) -> None:
    """Write a spawn's files into a folder, with progress on stderr where it takes longer than a second.

    Raises:
        RelayError: some could not be written, and why.
    """
    from relay.cli.progress import Bar

    bar, began, last = Bar("files"), time.monotonic(), None
    call = routes.write_files(spawn["id"], os.path.abspath(os.path.expanduser(folder)), force)
    try:
        for line in client.lines(call):
            last = line
            if "error" in line or "files" in line:
                break
            if not invocation.json and time.monotonic() - began >= QUIET_S:
                bar.show(line)
    finally:
        bar.end()
    if last is None or "files" not in last:
        from relay.api.client import broke_off
        from relay.core.errors import from_json

        raise from_json(last["error"]) if last is not None and "error" in last else broke_off(invocation.home)
    if not invocation.json:
        count = len(last["files"])
        speech.note(f"Wrote {count} file{'' if count == 1 else 's'} to {clean(last['to'])}.")


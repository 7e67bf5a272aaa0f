"""Copies what a spawn writes to this terminal, the bytes as they were."""

from __future__ import annotations

import sys

from relay.api import routes
from relay.api.sizes import spoken
from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.client import Client
    from relay.api.shapes import LogLine


def copy(client: Client, ref: str, as_json: bool, follow: bool, tail: int | None = None) -> None:
    """Print a spawn's log: its output to stdout, its errors to stderr; with JSON an object a line.

    Args:
        client: asks the broker.
        ref: which spawn.
        as_json: print the lines as they came.
        follow: until it has ended.
        tail: only the last so many lines.
    """
    for line in client.lines(routes.log(ref, follow, tail)):
        if as_json:
            speech.streamed(line)
        else:
            _write(line, follow)


def _write(line: LogLine, at_once: bool) -> None:
    if line["stream"] == "gap":
        sys.stdout.flush()
        speech.note(f"[{spoken(line.get('missing', 0))} of its output are no longer kept: log_limit on that machine]")
        return
    stream = sys.stderr if line["stream"] == "err" else sys.stdout
    stream.buffer.write(_bytes_of(line))
    if at_once or stream is sys.stderr:
        stream.flush()


def _bytes_of(line: LogLine) -> bytes:
    if "raw" in line:
        from binascii import a2b_base64

        return a2b_base64(line["raw"])
    return line["data"].encode("utf-8", "surrogateescape")

"""Copies what a spawn writes to this terminal, the bytes as they were."""

from __future__ import annotations

import sys

from relay.api import raw_lines, routes
from relay.api.sizes import spoken
from relay.cli import speech
from relay.cli.clean import clean
from relay.cli.resuming import over_restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from relay.api.client import Client
    from relay.api.routes import Call
    from relay.api.shapes import LogLine, RawLogLine


def copy(
    client: Client,
    ref: str,
    as_json: bool,
    follow: bool,
    tail: int | None = None,
    since: int | None = None,
    plain: bool = False,
    start: int | None = None,
) -> bool:
    """Print a spawn's log: its output to stdout, its errors to stderr; with JSON an object a line.

    Args:
        client: asks the broker.
        ref: which spawn.
        as_json: print the lines as they came.
        follow: until it has ended.
        tail: only the last so many lines.
        since: only what was written at or after this moment, milliseconds since 1970.
        plain: without what steers a terminal.
        start: the offset to begin at, instead of the beginning or a tail.

    Returns:
        Whether there was anything.
    """
    anything = asked = False
    strip = _Stripper() if plain else _as_it_is

    def call(at: int | None) -> Call[Any]:
        nonlocal asked
        # who says a place, be it the first, has asked before: the broker, just started, waits for the task's to be back
        place = 0 if at is None and asked else at
        asked = True
        lines = routes.log(ref, follow, tail if at is None else None, place, since)
        return lines if as_json else raw_lines.as_bytes(lines)

    lines: Iterator[LogLine | RawLogLine] = over_restarts(client, call, start, "next", follow)
    for line in lines if follow else _begun(lines, quiet=as_json):
        anything = anything or line["stream"] == "gap" or bool(line["data"])
        if line["stream"] == "gap":
            speech.streamed(line) if as_json else _say_gap(line)
        elif line["stream"] == "note" and not as_json:
            say_note(line["data"])
        elif as_json:
            speech.streamed(_plain_line(line, strip) if plain else line)
        else:
            _write(line["stream"], strip(line["stream"], _bytes_of(line)), follow)
    if isinstance(strip, _Stripper) and not as_json:
        for stream, rest in strip.rests():
            _write(stream, rest, follow)
    return anything


def _begun(lines: Iterator[LogLine | RawLogLine], quiet: bool) -> Iterator[LogLine | RawLogLine]:
    """The same lines; that the first is waited for is shown, as its machine may be slow to answer, or not answer."""
    from relay.cli import progress

    with progress.Shown("asking its machine for the output", quiet):
        first = next(lines, None)
    if first is not None:
        yield first
    yield from lines


def say_note(text: str) -> None:
    """What relay says between two attempts, on stderr."""
    speech.flush()
    speech.note(f"[relay] {clean(text.rstrip())}")


def _say_gap(line: LogLine) -> None:
    speech.flush()
    missing = line.get("missing", 0)
    if "as_of" in line:
        speech.note(_as_of(line["as_of"], missing, line.get("reason", "its machine is out of reach")))
    else:
        speech.note(f"[{spoken(missing or 0)} of its log are no longer kept: log_limit on that machine]")


def _as_of(moment: str, missing: int | None, reason: str) -> str:
    from relay.cli import ages

    before = "how much stands before it is not known" if missing is None else f"{spoken(missing)} before it are there"
    told = "the end of its output" if missing != 0 else "its output"
    rest = "" if missing == 0 else f"; {before}"
    return f"[{clean(reason)}: {told} as of {moment}, {ages.since(moment)} ago, as it was sent here{rest}]"


def _as_it_is(stream: str, data: bytes) -> bytes:
    return data


class _Stripper:
    def __init__(self) -> None:
        from relay.core.plain import Plain

        self._streams = {"out": Plain(), "err": Plain(), "note": Plain()}

    def __call__(self, stream: str, data: bytes) -> bytes:
        return self._streams[stream].feed(data)

    def rests(self) -> list[tuple[str, bytes]]:
        """What is still open in each stream at its end."""
        return [(name, rest) for name, stream in self._streams.items() if (rest := stream.end())]


def _plain_line(line: LogLine | RawLogLine, strip: Callable[[str, bytes], bytes]) -> dict[str, object]:
    text = strip(line["stream"], _bytes_of(line)).decode("utf-8", "replace")
    return {"at": line["at"], "stream": line["stream"], "data": text, "next": line["next"]}


def _write(name: str, data: bytes, at_once: bool) -> None:
    if name == "err":
        sys.stderr.buffer.write(data)
        sys.stderr.flush()
    elif at_once:
        speech.put_at_once(data)
    else:
        with speech.Printing():
            sys.stdout.buffer.write(data)


def _bytes_of(line: LogLine | RawLogLine) -> bytes:
    data, raw = line["data"], line.get("raw")
    if isinstance(data, bytes):
        return data
    if isinstance(raw, str):
        from binascii import a2b_base64

        return a2b_base64(raw)
    return data.encode("utf-8", "surrogateescape")

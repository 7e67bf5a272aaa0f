"""`relay WORDS` as a process of its own, its output read to the end: forked from the stem where that is in use."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from relay.testing import stem

Done = subprocess.CompletedProcess[bytes]
PIECE = 65_536
MAX_TYPED = 65_536  # what a pipe holds on Linux: pipe(7)
# what Python reads before it runs a line, and a fork has behind it
_READ_AT_START = ("PYTHON", "LC_", "LANG")


def run(
    words: Sequence[str | bytes],
    environment: dict[str, str],
    folder: Path,
    *,
    typed: bytes | None = None,
    timeout: float = 30.0,
) -> Done:
    """Run `relay WORDS` to its end.

    Args:
        words: what follows `relay`.
        environment: all of it.
        folder: where it runs.
        typed: its standard input; None for /dev/null.
        timeout: seconds.

    Raises:
        subprocess.TimeoutExpired: it had not ended by then; it was killed.
    """
    if not _is_forked(environment, typed):
        return _executed(words, environment, folder, typed, timeout)
    stem.shared()  # it may have to be started first, and that is not the command's time
    return _forked(words, environment, folder, typed, time.monotonic() + timeout)


def _is_forked(environment: dict[str, str], typed: bytes | None) -> bool:
    has = stem.environment()
    differs = any(has.get(key) != value for key, value in environment.items() if key.startswith(_READ_AT_START))
    return stem.is_in_use() and not differs and len(typed or b"") <= MAX_TYPED


def _command(words: Sequence[str | bytes]) -> list[str | bytes]:
    return [sys.executable, "-m", "relay", *words]


def _executed(
    words: Sequence[str | bytes], environment: dict[str, str], folder: Path, typed: bytes | None, timeout: float
) -> Done:
    return subprocess.run(
        _command(words),
        env=environment,
        cwd=folder,
        input=typed,
        stdin=subprocess.DEVNULL if typed is None else None,
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def _forked(
    words: Sequence[str | bytes], environment: dict[str, str], folder: Path, typed: bytes | None, deadline: float
) -> Done:
    stdin = os.open(os.devnull, os.O_RDONLY) if typed is None else _holding(typed)
    pipes = [os.pipe(), os.pipe()]
    try:
        given = {0: stdin, 1: pipes[0][1], 2: pipes[1][1]}
        text = [os.fsdecode(word) for word in words]
        process = stem.shared().fork(["relay", *text], environment, folder, given)
    finally:
        for descriptor in (stdin, pipes[0][1], pipes[1][1]):
            os.close(descriptor)
    try:
        stdout, stderr = _read([read for read, _ in pipes], deadline)
        return Done(_command(words), process.wait(deadline - time.monotonic()), stdout, stderr)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        for read, _ in pipes:
            os.close(read)


def _holding(typed: bytes) -> int:
    """The reading end of a pipe with all of it inside."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as file:
        file.write(typed)
    return read


def _read(descriptors: list[int], deadline: float) -> list[bytes]:
    """All that comes from each of them, to its end."""
    came = {descriptor: bytearray() for descriptor in descriptors}
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired("relay", 0, *map(bytes, came.values()))
            for key, _ in ready:
                piece = os.read(key.fd, PIECE)
                came[key.fd] += piece
                if not piece:
                    selector.unregister(key.fd)
    return [bytes(each) for each in came.values()]

"""A broker whose serving of blobs is slow, or lies; and whose connections can be cut from outside (SIGUSR1).

    python -m relay.testing.blob_traps --slow 0.02 --wrong 3 --served FILE -- --home DIR ...

What follows `--` goes to `relay.daemon`. Only this process is changed: production code has no hooks. Each chunk that
is read for a peer is a line in `--served`; the chunks whose number is in `--wrong` are sent with a byte changed, `all`
of them each time, else the first time only. With `--hold N` no more than N are sent until there is the file `FILE.go`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path

from relay.broker.blobs.files import BlobFile
from relay.core.blobs import Place

ALL = "all"


class Traps:
    """What is done to each item that is read.

    Args:
        slow: seconds a chunk takes.
        wrong: numbers of the chunks to spoil once; `all` for each, each time.
        served: where each chunk's number is written.
        hold: after so many it waits to be let on; 0 where it never does.
    """

    def __init__(self, slow: float, wrong: str, served: Path, hold: int) -> None:
        self._slow = slow
        self._hold = hold
        self._always = wrong == ALL
        self._once = set() if self._always or not wrong else {int(each) for each in wrong.split(",")}
        self._served = served
        self._read = BlobFile.read

    def set(self) -> None:
        """Put them in place."""
        traps = self

        def read(self: BlobFile, place: Place) -> bytes:
            data = traps._read(self, place)
            return data if place.level else traps._sent(place, data)

        BlobFile.read = read  # type: ignore[method-assign]
        signal.signal(signal.SIGUSR1, lambda *_: _cut())

    def _sent(self, place: Place, data: bytes) -> bytes:
        time.sleep(self._slow)
        while self._is_held():
            time.sleep(0.02)
        with self._served.open("a") as file:
            file.write(f"{place.at}\n")
        if not self._always and place.at not in self._once:
            return data
        self._once.discard(place.at)
        return bytes([data[0] ^ 1]) + data[1:]

    def _is_held(self) -> bool:
        if not self._hold or go_on(self._served).exists() or not self._served.exists():
            return False
        return self._served.read_text().count("\n") >= self._hold


def _cut() -> None:
    """End every TCP connection of this process without a word, as a network that goes would."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as each:
            if each.family in (socket.AF_INET, socket.AF_INET6) and each.type == socket.SOCK_STREAM:
                each.getpeername()  # a listening socket has none, and stays
                each.shutdown(socket.SHUT_RDWR)


def go_on(served: Path) -> Path:
    """The file that lets one go on which is held."""
    return served.with_name(f"{served.name}.go")


def launcher(served: Path, slow: float = 0.0, wrong: str = "", hold: int = 0) -> tuple[str, ...]:
    """The words that start such a broker, for `Node.launcher`."""
    words = ("--slow", str(slow), "--wrong", wrong, "--served", str(served), "--hold", str(hold), "--")
    return (sys.executable, "-m", "relay.testing.blob_traps", *words)


def main() -> None:
    """Set the traps, then be the broker."""
    parser = argparse.ArgumentParser(prog="relay.testing.blob_traps")
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--wrong", default="")
    parser.add_argument("--served", type=Path, required=True)
    parser.add_argument("--hold", type=int, default=0)
    at = sys.argv.index("--")
    chosen = parser.parse_args(sys.argv[1:at])
    Traps(chosen.slow, chosen.wrong, chosen.served, chosen.hold).set()
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

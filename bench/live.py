"""What is live beside ssh: a keystroke to its echo, and the output of a fast writer, followed.

A keystroke goes into the terminal of `relay attach`, or of `ssh -tt`, as a person's would, one after the last one's
echo; the task there echoes in raw mode. The fast writer's file is written before anything is timed: what is measured
is the way, not `cat`.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import statistics
import subprocess
import sys
import time
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from relay.testing import processes
from relay.testing.node import Node

KEYS = 300
WARM_UP = 30
WITHIN_S = 30.0
OUTPUT, TURNS = 48 << 20, 3
RAW_ECHO = "stty raw -echo; printf ready; exec cat"


class _Person:
    """Somebody at a terminal."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)

    def until(self, text: bytes) -> None:
        seen, deadline = b"", time.monotonic() + WITHIN_S
        while text not in seen:
            if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"{text!r} was not echoed: {seen[-500:]!r}")
            try:
                seen += os.read(self._master, 4096)
            except OSError:
                raise RuntimeError(f"it ended: {seen[-500:]!r}") from None

    def press(self) -> float:
        """Seconds from a key to its echo."""
        started = time.perf_counter()
        os.write(self._master, b"x")
        self.until(b"x")
        return time.perf_counter() - started

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@contextlib.contextmanager
def _at(command: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[_Person]:
    person = _Person(command, environment)
    try:
        person.until(b"ready")
        for _ in range(WARM_UP):
            person.press()
        yield person
    finally:
        person.close()


def _relay(node: Node, *words: str) -> list[str]:
    return [sys.executable, "-m", "relay", "--home", str(node.home), *words]


def keystrokes(origin: Node, target: Node, ssh: Sequence[str]) -> tuple[list[float], list[float]]:
    """Echoes of `relay attach` and of ssh in turns, seconds each."""
    place = ("--broker", target.name, "--cwd", str(target.work))
    spawn = origin.relay_json("spawn", "-", "shell", RAW_ECHO, "--tty", *place)["id"]
    ours: list[float] = []
    theirs: list[float] = []
    try:
        with (
            _at(_relay(origin, "attach", spawn), origin.environment()) as attached,
            _at([*ssh, "-tt", RAW_ECHO]) as over_ssh,
        ):
            for _ in range(KEYS):
                ours.append(attached.press())
                theirs.append(over_ssh.press())
    finally:
        origin.relay("stop", spawn)
    return ours, theirs


@dataclass(frozen=True, slots=True)
class Followed:
    """How a follower of a fast writer fared.

    Attributes:
        ours, theirs: MB/s of `logs -f` and of `ssh host cat`.
        grown: MiB that the broker which grew most has grown by at its highest.
    """

    ours: float
    theirs: float
    grown: float


def followed(origin: Node, target: Node, ssh: Sequence[str]) -> Followed:
    """`logs -f` of a task that writes as fast as it can, and `ssh host cat` of the same file: medians, in turns.

    The first turn is not counted: what a connection may have on its way grows with what it has carried.
    """
    file = target.work / "fast"
    file.write_bytes(b"0123456789abcdef" * 4095 * (OUTPUT // 65520))
    size = file.stat().st_size
    pids = [node.process.pid for node in (origin, target) if node.process is not None]
    before = [_resident(pid) for pid in pids]
    highest = list(before)

    def look() -> None:
        highest[:] = [max(seen, _resident(pid)) for seen, pid in zip(highest, pids, strict=True)]

    turns = []
    for _ in range(1 + TURNS):
        theirs = _rate([*ssh, "cat", str(file)], size, None)
        turns.append((_rate_followed(origin, target, file, look), theirs))
    grown = max(now - then for now, then in zip(highest, before, strict=True))
    ours, theirs = (statistics.median(rates) for rates in zip(*turns[1:], strict=True))
    return Followed(ours, theirs, grown / (1 << 20))


def _rate_followed(origin: Node, target: Node, file: Path, look: object) -> float:
    gate = target.work / "fast-go"
    gate.unlink(missing_ok=True)
    script = f"while [ ! -e {gate} ]; do sleep 0.01; done; cat {file}"
    spawn = origin.relay_json("spawn", "-", "shell", script, "--broker", target.name, "--cwd", str(target.work))["id"]
    processes.wait_until(lambda: origin.relay_json("show", spawn)["state"] == "running", WITHIN_S, "the writer")
    return _rate(_relay(origin, "logs", spawn, "-f"), file.stat().st_size, gate, look)


def _resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _rate(command: Sequence[str], size: int, gate: Path | None, look: object = None) -> float:
    """MB/s from the first byte asked for to the last."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if gate is not None:
            time.sleep(1.0)  # the follower is there before the writer begins
            gate.touch()
        started, got, looked = time.perf_counter(), 0, 0
        while data := os.read(process.stdout.fileno(), 1 << 20):
            got += len(data)
            if callable(look) and got - looked > 4 << 20:
                looked = got
                look()
        took = time.perf_counter() - started
    if got != size:
        raise RuntimeError(f"{got} bytes came instead of {size}")
    return size / took / 1e6

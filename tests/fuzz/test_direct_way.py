"""Whatever comes by a direct way, the shim lives, and types under the name that was given to it or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import select
import socket
from pathlib import Path

import pytest

from relay.spawn.shim import callers as wire
from relay.spawn.shim.door import Door
from tests.fuzz.mutation import mutants

TYPIST = b"typist".ljust(16, b".")
CASES = 3_000
SPECIMEN = b"".join(
    wire.HEAD.pack(kind, source, n, len(data)) + data
    for n, (kind, source, data) in enumerate(
        [(wire.WATCH, wire.NOBODY, b""), (wire.FEED, TYPIST, b"ls\n"), (wire.FEED, TYPIST, b"x" * 40)], 1
    )
)


class Ground:
    """A door in this process, whose task reads nothing, and a broker's caller there."""

    def __init__(self, folder: Path) -> None:
        self.read, write = os.pipe()
        os.set_blocking(self.read, False)
        self.poll = select.poll()
        self.door = Door(str(folder), self.poll, write, b"", False)
        self.broker = socket.socket(socket.AF_UNIX)
        self.broker.connect(str(folder / wire.DOOR))
        self.turn()
        (self.owner,) = self.door._callers.values()

    def turn(self) -> None:
        while ready := self.poll.poll(0):
            for fd, _ in ready:
                assert self.door.hear(fd)

    def sent(self, data: bytes, source: bytes) -> None:
        """All of this comes by a direct way of its own, which then ends."""
        theirs, ours = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self.door._admit(ours, self.owner, source)  # type: ignore[arg-type]  # as a TLS connection, without the TLS
            theirs.sendall(data)
            self.turn()
            assert all(len(each.going) <= 2 * wire.MOST for each in self.door._callers.values())
        self.turn()
        assert list(self.door._callers.values()) == [self.owner]

    def typed(self) -> bytes:
        try:
            return os.read(self.read, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.door.close()
        self.broker.close()
        os.close(self.read)


@pytest.mark.parametrize("source", [TYPIST, wire.NOBODY], ids=["typist", "viewer"])
def test_a_direct_way_of_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: bytes) -> None:
    monkeypatch.chdir(tmp_path)  # the door's own way to make a socket changes it
    seed = int(os.environ.get("RELAY_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    ground = Ground(tmp_path)
    try:
        for data in itertools.islice(mutants(SPECIMEN, seed), CASES):
            ground.sent(data, source)
            typed = ground.typed()
            assert set(ground.door._taken) <= {source} - {wire.NOBODY}, (seed, data.hex())
            assert source != wire.NOBODY or not typed, (seed, data.hex())
            ground.door._taken.clear()
    finally:
        ground.close()


def test_what_is_meant_so_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ground = Ground(tmp_path)
    try:
        ground.sent(SPECIMEN, TYPIST)
        assert ground.typed() == b"ls\n" + b"x" * 40
    finally:
        ground.close()


def test_who_left_while_the_task_reads_nothing_is_let_go(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    feeds = b"".join(wire.HEAD.pack(wire.FEED, TYPIST, n, 4096) + bytes(4096) for n in range(1, 200))
    ground.broker.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while feeds:
            feeds = feeds[ground.broker.send(feeds) :]
            ground.turn()
    assert feeds, "the shim listens no more"
    ground.broker.close()
    for fd, _ in ground.poll.poll(0):
        assert ground.door.hear(fd)
    assert not ground.poll.poll(0), "it would be told so again and again"
    assert not ground.door._callers
    ground.close()

"""A program that carries packets between pairs of TUN devices, later and with losses. See `wires.py`.

Its argument is a seed; it reads one JSON request a line and answers each with `ok` or the reason:

    {"open": [[NAMESPACE, DEVICE], [NAMESPACE, DEVICE]], "delay_ms": 50, "loss": 0.02}

The devices live as long as the program, and the program as long as its input.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import heapq
import itertools
import json
import os
import random
import selectors
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_LARGEST = 65_535
_AT_A_TIME = 64


def _enter(namespace: str) -> None:
    """Move this process into a namespace (os.setns is of Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(handle)


def open_tun(namespace: str, device: str) -> int:
    """A new TUN device in a namespace; the file its packets go through, which does not block.

    Raises:
        OSError: it may not be made.
    """
    _enter(namespace)
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH14x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return handle


@dataclass(frozen=True, slots=True)
class Direction:
    """Where the packets of one device go, and what happens to them on the way."""

    to: int
    delay_s: float
    loss: float
    chance: random.Random


class Carrying:
    """All wires, and the packets on them.

    Args:
        seed: of the losses; each direction draws from its own numbers.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._selector = selectors.DefaultSelector()
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._count = itertools.count()

    def open(self, ends: list[list[str]], delay_ms: float, loss: float) -> None:
        """One more wire.

        Raises:
            OSError: its devices may not be made.
        """
        handles = [open_tun(*end) for end in ends]
        for here, there in (handles, reversed(handles)):
            chance = random.Random(f"{self._seed} {next(self._count)}")
            self._selector.register(here, selectors.EVENT_READ, Direction(there, delay_ms / 1000, loss, chance))

    def run(self) -> None:
        """Until the input ends."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._until_next()):
                if key.data is not None:
                    self._take(key.fd, key.data)
                elif not self._answer(sys.stdin.readline()):
                    return
            self._deliver()

    def _answer(self, line: str) -> bool:
        if not line:
            return False
        request: dict[str, Any] = json.loads(line)
        try:
            self.open(request["open"], request["delay_ms"], request["loss"])
        except OSError as error:
            answer = str(error)
        else:
            answer = "ok"
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
        return True

    def _take(self, handle: int, direction: Direction) -> None:
        for _ in range(_AT_A_TIME):
            try:
                packet = os.read(handle, _LARGEST)
            except OSError as error:
                # its end is down at this moment
                if error.errno in (errno.EAGAIN, errno.EIO, errno.EBADFD):
                    return
                raise
            if direction.chance.random() >= direction.loss:
                due = time.monotonic() + direction.delay_s
                heapq.heappush(self._under_way, (due, next(self._count), direction.to, packet))

    def _until_next(self) -> float | None:
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, handle, packet = heapq.heappop(self._under_way)
            try:
                os.write(handle, packet)
            except OSError as error:
                # a network drops what it cannot take
                if error.errno not in (errno.EAGAIN, errno.EIO, errno.EINVAL, errno.EBADFD, errno.ENOBUFS):
                    raise


if __name__ == "__main__":
    Carrying(int(sys.argv[1])).run()

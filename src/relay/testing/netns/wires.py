"""Wires: a device in one namespace and one in another, with what goes into one coming out of the other.

A plain wire is a veth pair. One with a delay or a loss is a veth pair with netem at both ends where the kernel
has that, else a pair of TUN devices between which `tun_wire.py` carries the packets.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from dataclasses import dataclass

from relay.testing.netns.namespaces import NetworkFailed, ip, run

ANSWER_WITHIN = 30.0
_PROGRAM = "relay.testing.netns.tun_wire"


@dataclass(frozen=True, slots=True)
class Quality:
    """What a wire does to packets, each way.

    Attributes:
        delay_ms: how much later they come out.
        loss: the share of them that never does, 0 to 1.
        rate_mbit: what goes through in a second, in 10^6 bits; None for no limit.
    """

    delay_ms: float = 0
    loss: float = 0
    rate_mbit: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """One end of a wire: a device in a namespace."""

    namespace: str
    device: str


class Wires:
    """The wires of one internet.

    Args:
        seed: of the losses on TUN wires.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._carrying: subprocess.Popen[bytes] | None = None

    def lay(self, first: End, second: End, quality: Quality | None = None) -> None:
        """A new wire; its ends are down and have no addresses yet.

        Raises:
            NetworkFailed: it cannot be made.
        """
        if quality is None or has_netem(first.namespace):
            ip(first.namespace, "link", "add", first.device, "type", "veth", "peer", "name", second.device, "netns",
               second.namespace)  # fmt: skip
            if quality is not None:
                for end in (first, second):
                    _netem(end, quality)
            return
        self._ask({"open": [[end.namespace, end.device] for end in (first, second)],
                   "delay_ms": quality.delay_ms, "loss": quality.loss})  # fmt: skip
        if quality.rate_mbit is not None:
            for end in (first, second):
                _tbf(end, quality.rate_mbit)

    def _ask(self, request: dict[str, object]) -> None:
        if self._carrying is None:
            # it ends with its input: also where this process is killed
            self._carrying = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(self._seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._carrying.stdin is not None and self._carrying.stdout is not None
        self._carrying.stdin.write(json.dumps(request).encode() + b"\n")
        self._carrying.stdin.flush()
        readable, _, _ = select.select([self._carrying.stdout], [], [], ANSWER_WITHIN)
        answer = self._carrying.stdout.readline() if readable else b""
        if answer != b"ok\n":
            raise NetworkFailed(f"no TUN wire: {answer.decode().strip() or 'no answer'}")

    def close(self) -> None:
        """Stop carrying packets; the devices go with their namespaces."""
        carrying, self._carrying = self._carrying, None
        if carrying is not None:
            carrying.kill()
            carrying.wait()
            for pipe in (carrying.stdin, carrying.stdout):
                assert pipe is not None
                pipe.close()


def has_netem(namespace: str) -> bool:
    """Whether this kernel has netem, tried in a namespace of ours."""
    words = ("dev", "lo", "root", "netem")
    try:
        run("tc", "-n", namespace, "qdisc", "add", *words)
    except NetworkFailed:
        return False
    run("tc", "-n", namespace, "qdisc", "delete", *words)
    return True


def _netem(end: End, quality: Quality) -> None:
    rate = () if quality.rate_mbit is None else ("rate", f"{quality.rate_mbit:g}mbit")
    words = ("delay", f"{quality.delay_ms:g}ms", "loss", f"{quality.loss:.3%}", *rate)
    run("tc", "-n", end.namespace, "qdisc", "add", "dev", end.device, "root", "netem", *words)


def _tbf(end: End, rate_mbit: float) -> None:
    words = ("rate", f"{rate_mbit:g}mbit", "burst", "32k", "latency", "400ms")
    run("tc", "-n", end.namespace, "qdisc", "add", "dev", end.device, "root", "tbf", *words)

"""What many idle links cost a real broker: memory and CPU of its process, links over TLS on loopback."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import crowd
from bench.idle import KIB, cpu_seconds, pss
from relay.api.home import Home
from relay.broker.own_record import LINKS_SETTLE_EACH_S, LINKS_SETTLE_S
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

_PROGRAM = Path(__file__).with_name("crowd.py")
COUNT = 1_000
CROWDS = 2  # processes that the members are in
FILES = COUNT + 200
LINKED_WITHIN = 120.0
# Books are compared one after another, 50 ms apart, and the broker tells its members of its links once these have
# settled (own_record.py), counted from the first one: what is measured is what comes after.
SETTLED_S = LINKS_SETTLE_S + LINKS_SETTLE_EACH_S * COUNT + 20
IDLE_S = 60.0  # longer than a round of pings


class TooFewFiles(Exception):
    """This user may not hold so many connections open; the message says how many."""


@dataclass(frozen=True, slots=True)
class IdleLinks:
    """Of a broker's process alone, its fork server not counted.

    Attributes:
        each: memory of one link (PSS), KiB.
        cpu: of all links together, percent of one core.
    """

    each: float
    cpu: float


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise TooFewFiles(f"{COUNT} links need {FILES} open files; this user may have {hard} (ulimit -Hn)")
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


@contextlib.contextmanager
def _crowd(node: Node, first: int, count: int) -> Iterator[subprocess.Popen[str]]:
    places = ("--home", str(node.home), "--address", node.address, "--first", str(first), "--count", str(count))
    words = (sys.executable, "-P", str(_PROGRAM), *places)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _measured(node: Node) -> IdleLinks:
    assert node.process is not None
    broker = psutil.Process(node.process.pid)
    alone = pss(broker.pid)
    with contextlib.ExitStack() as stack:
        first = time.monotonic()
        part = COUNT // CROWDS
        for at in range(CROWDS):
            stack.enter_context(_crowd(node, at * part, part))
        wait_until(lambda: node.status()["links"] == COUNT, LINKED_WITHIN, f"{COUNT} links", every=0.5)
        time.sleep(max(first + SETTLED_S - time.monotonic(), 0))
        before, began = cpu_seconds([broker]), time.monotonic()
        time.sleep(IDLE_S)  # the measurement itself
        cpu = (cpu_seconds([broker]) - before) / (time.monotonic() - began) * 100
        assert node.status()["links"] == COUNT
        return IdleLinks((pss(broker.pid) - alone) / COUNT / KIB, cpu)


def measure() -> IdleLinks:
    """A fresh broker with a thousand links.

    Raises:
        TooFewFiles: there may be none here.
    """
    _allow_files()
    with Mesh.scratch("relay-links-") as mesh:
        node = mesh.add("hub", started=False)
        crowd.admit_all(Home(str(node.home)), COUNT)
        node.start()
        node.status()  # so that what is loaded late is loaded
        return _measured(node)

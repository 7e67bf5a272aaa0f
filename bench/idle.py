"""What a broker costs while it has nothing to do: memory and CPU of its process and of its fork server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from relay.testing.node import Node

SECONDS = 20.0
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Idle:
    """Sums over a broker and its fork server.

    Attributes:
        pss: memory, pages shared with others counted in part, MiB; equal to `rss` where the system has no such figure.
        rss: memory, shared pages counted in full, MiB.
        cpu: percent of one core.
    """

    pss: float
    rss: float
    cpu: float


def pss(pid: int) -> int:
    """Memory of a process in bytes, pages shared with others counted in part; in full where the system cannot say."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return int(psutil.Process(pid).memory_info().rss)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """What these have used of processors, together."""
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def watch(node: Node, seconds: float = SECONDS) -> Idle:
    """A node's idle cost over so many seconds."""
    assert node.process is not None
    parts = [psutil.Process(node.process.pid), *node.fork_servers()]
    before = cpu_seconds(parts)
    time.sleep(seconds)  # the measurement itself
    cpu = (cpu_seconds(parts) - before) / seconds * 100
    rss = sum(each.memory_info().rss for each in parts)
    return Idle(sum(pss(each.pid) for each in parts) / MIB, rss / MIB, cpu)

"""What a shim costs while its task runs: memory of its process, with twenty of them alive."""

from __future__ import annotations

import statistics
import time

from bench.idle import MIB, pss
from relay.testing.node import Node
from relay.testing.processes import wait_until

COUNT = 20
SETTLE_S = 1.0


def measure(node: Node, count: int = COUNT) -> float:
    """The median memory of a live shim in MiB, pages shared with others counted in part."""
    with node.control() as control:
        script = "echo begun; exec sleep 300"
        spawns = [control.spawn("/bin/sh", "-c", script, cwd=str(node.work))["id"] for _ in range(count)]
        wait_until(lambda: len(node.shims()) == count, 20, "all shims to live")
        time.sleep(SETTLE_S)  # the measurement itself: what the start has touched is settled
        found = statistics.median(pss(shim.pid) for shim in node.shims()) / MIB
        for number, spawn in enumerate(spawns):
            control.post(f"spawns/{spawn}/stop", {"operation": f"bench-shims-{number}-{spawn}"})
            control.wait(spawn)
    return found

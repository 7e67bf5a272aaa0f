"""Fifty real brokers of one workspace on loopback: what each costs, and how soon all know of a new one.

    python -m tests.chaos.test_scale 10 20 50     prints the same for other sizes
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

SIZE = 50
KNOWN_WITHIN = 60.0
LINKED_WITHIN = 180.0
QUIET_S = 60.0
_PORT, _SENT = re.compile(r"127\.0\.0\.1:(\d+)"), re.compile(r"\bbytes_sent:(\d+)")
KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What so many brokers showed.

    Attributes:
        size: how many there were.
        links: of each, in the end; everybody is linked with everybody.
        known_s: seconds from the start of the newest one's `relay join` until it was in everybody's roster.
        linked_s: from there until everybody was linked with it.
        pss_mib: memory of one broker (median) with all its links, its fork server not counted.
        quiet_kib: what one broker sent and received over its links in a minute in which nobody did anything.
        joined_kib: what one broker sent and received from the newest one's join until a minute later.
    """

    size: int
    links: int
    known_s: float
    linked_s: float
    pss_mib: float
    quiet_kib: float
    joined_kib: float


def _moved(nodes: list[Node]) -> int:
    """Bytes sent over the links of these that are up, as the kernel counts them for each socket: TLS and all."""
    done = subprocess.run(["ss", "-tinHO"], capture_output=True, text=True, check=True, timeout=30)
    ports = {str(node.port) for node in nodes}
    lines = (line for line in done.stdout.splitlines() if ports & set(_PORT.findall(line)))
    return sum(int(found[1]) for line in lines if (found := _SENT.search(line)))


def _members(node: Node) -> int:
    with node.control() as control:
        return len(control.get("brokers"))


def _pss(node: Node) -> int:
    assert node.process is not None
    lines = Path(f"/proc/{node.process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith("Pss:"))


def _all(nodes: list[Node], links: int, what: str) -> None:
    left = list(nodes)

    def one_less() -> bool:
        left[:] = [node for node in left if node.status()["links"] < links]
        return not left

    wait_until(one_less, LINKED_WITHIN, f"{what}: {links} links of each", every=0.1)


def _grow(mesh: Mesh, size: int) -> tuple[Node, list[Node]]:
    root = mesh.add("b0")
    nodes = [root, *(mesh.join(root, f"b{at}") for at in range(1, size))]
    _all(nodes, size - 1, f"{size} brokers")
    return root, nodes


def _newest(mesh: Mesh, root: Node, nodes: list[Node]) -> tuple[float, float]:
    """Admit one more; after how many seconds it is in each roster, and linked with each."""
    newest = mesh.add("newest")
    link = root.relay_json("invite", "--link")["link"]
    size, left = len(nodes) + 1, list(nodes)
    began = time.monotonic()
    newest.relay("join", link)

    def known() -> bool:
        left[:] = [node for node in left if _members(node) < size]
        return not left

    wait_until(known, KNOWN_WITHIN, "everybody to know of the newest", every=0.01)
    known_s = time.monotonic() - began
    nodes.append(newest)
    _all(nodes, size - 1, "with the newest")
    return known_s, time.monotonic() - began


def measure(size: int) -> Found:
    """Build a workspace of `size` brokers one join after another, the last of which is watched; then leave it alone."""
    with Mesh.scratch("relay-scale-") as mesh:
        root, nodes = _grow(mesh, size - 1)
        before = _moved(nodes)
        known_s, linked_s = _newest(mesh, root, nodes)  # which is one of them from here on
        time.sleep(QUIET_S)  # by then everybody has told of its links
        joined = _moved(nodes) - before
        before = _moved(nodes)
        time.sleep(QUIET_S)  # the measurement itself
        quiet = _moved(nodes) - before
        pss = sorted(map(_pss, nodes))[len(nodes) // 2] / MIB
        # a byte is one broker's that sends it and another's that receives it
        quiet_kib, joined_kib = (2 * moved / KIB / size * 60 / QUIET_S for moved in (quiet, joined))
        links = max(node.status()["links"] for node in nodes)
        return Found(size, links, known_s, linked_s, pss, quiet_kib, joined_kib)


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not installed; apt-get install iproute2")
@pytest.mark.chaos
@pytest.mark.timeout(1_800)
def test_fifty_real_brokers() -> None:
    found = measure(SIZE)
    print(f"\n{json.dumps(asdict(found))}")
    assert found.links == SIZE - 1
    assert found.known_s < 15 and found.pss_mib < 70 and found.quiet_kib < 256


if __name__ == "__main__":
    for each in map(int, sys.argv[1:]):
        print(json.dumps(asdict(measure(each))), flush=True)

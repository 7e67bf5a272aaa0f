"""1 GiB moves with flat memory on both sides, through kills, and arrives whole."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node

MIB = 2**20
SIZE = 1024 * MIB + 12_345
# what moving may add to a broker's resident memory; its buffers are a window of 16 chunks and the threads' pieces
MOST_GROWTH = 8 * MIB
WARM = 32 * MIB


class Watch:
    """The highest resident memory of two brokers while a block runs."""

    def __init__(self, *nodes: Node) -> None:
        self._processes = {node.name: psutil.Process(node.process.pid) for node in nodes if node.process}
        self.before = {name: each.memory_info().rss for name, each in self._processes.items()}
        self.most = dict(self.before)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.wait(0.05):
            for name, each in self._processes.items():
                self.most[name] = max(self.most[name], each.memory_info().rss)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def growth(self) -> dict[str, int]:
        """Bytes by broker."""
        return {name: self.most[name] - self.before[name] for name in self.before}


def _file(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            piece = os.urandom(min(MIB, size - at))
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pair(mesh: Mesh) -> tuple[Node, Node]:
    laptop, vps = mesh.pair("laptop", "vps")
    vps.relay("trust", "allow", laptop.id, "--verb", "push")
    return laptop, vps


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_a_gibibyte_moves_with_flat_memory() -> None:
    """Taking in, sending, receiving and writing out, each measured from after a first, small blob."""
    with Mesh.scratch("relay-blob-") as mesh:
        laptop, vps = _pair(mesh)
        for name, size in (("warm", WARM), ("big", SIZE)):
            source, target = mesh.folder / name, mesh.folder / f"{name}.out"
            wanted = _file(source, size)
            with Watch(laptop, vps) as watch:
                began = time.monotonic()
                laptop.relay("blob", "send", str(source), "--broker", "vps", "--wait", timeout=900)
                moved = time.monotonic() - began
                vps.relay("blob", "get", name, "-o", str(target), timeout=300)
            assert _digest(target) == wanted
            told = ", ".join(f"{who} +{growth / MIB:.1f} MiB" for who, growth in watch.growth.items())
            print(f"\nblob of {size / MIB:.0f} MiB: {size / MIB / moved:.0f} MiB/s, {told}")
        assert max(watch.growth.values()) < MOST_GROWTH, watch.growth


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_a_gibibyte_arrives_through_kills() -> None:
    """Either broker is killed ten times on the way; what is on the disk is not sent again."""
    with Mesh.scratch("relay-blob-") as mesh:
        laptop, vps = _pair(mesh)
        source = mesh.folder / "big"
        wanted = _file(source, SIZE)
        laptop.relay("blob", "send", str(source), "--broker", "vps", timeout=300)
        reached = 0
        for kill in range(10):
            reached = _beyond(vps, reached)
            (laptop, vps)[kill % 2].restart()
        processes.wait_until(lambda: _blob(vps)["state"] == "here", 900, "the blob", every=0.2)
        vps.relay("blob", "get", "big", "-o", str(mesh.folder / "out"), timeout=300)
        assert _digest(mesh.folder / "out") == wanted


def _blob(node: Node) -> dict[str, object]:
    with node.control() as control:
        found: list[dict[str, object]] = control.get("blobs")
    return found[0] if found else {"state": "", "done": 0}


def _beyond(node: Node, reached: int) -> int:
    """Wait until a further twelfth has come; never less than before is here."""

    def further() -> int:
        done = int(str(_blob(node)["done"]))
        return done if done >= min(reached + SIZE // 12, SIZE) else 0

    return processes.wait_until(further, 300, "more of it", every=0.05)

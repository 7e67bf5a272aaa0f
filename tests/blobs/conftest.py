"""`laptop` sends, `vps` receives; `vps` allows `laptop` the verb `push`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing import processes
from relay.testing.blob_traps import go_on, launcher
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node

MIB = 2**20


class Ground:
    """The two brokers, and the words that most tests begin with."""

    def __init__(self, mesh: Mesh, laptop: Node, vps: Node) -> None:
        self.mesh, self.laptop, self.vps = mesh, laptop, vps
        self._files = 0
        self.served = mesh.folder / "served"

    def heal(self) -> None:
        """Both run as usual, linked, nothing kept, `push` granted."""
        for node in (self.laptop, self.vps):
            node.resume()
            if node.launcher != DAEMON or not node.running:
                self.restart(node)
        self.mesh.await_link(self.laptop, self.vps)
        for node in (self.laptop, self.vps):
            for blob in self.listing(node):
                node.relay("blob", "remove", str(blob["hash"]))
            (node.home / "trust.toml").unlink(missing_ok=True)
        self.vps.relay("trust", "allow", self.laptop.id, "--verb", "push")
        for each in (self.served, go_on(self.served)):
            each.unlink(missing_ok=True)

    def restart(self, node: Node, *, slow: float = 0.0, wrong: str = "", hold: int = 0) -> None:
        """Start a broker anew; with traps where some are asked for."""
        node.kill()
        node.launcher = launcher(self.served, slow, wrong, hold) if slow or wrong else DAEMON
        node.start()
        self.mesh.await_link(self.laptop, self.vps)

    def file(self, size: int) -> Path:
        """A fresh file of random bytes."""
        self._files += 1
        path = self.mesh.folder / f"file-{self._files}.bin"
        path.write_bytes(os.urandom(size))
        return path

    def send(self, path: Path, *words: str) -> str:
        """Offer a file to vps; its hash."""
        lines = self.laptop.relay("blob", "send", str(path), "--broker", "vps", "--json", *words).stdout.splitlines()
        return str(document(lines[-1])["blob"]["hash"])

    def listing(self, node: Node) -> list[dict[str, object]]:
        """`relay blob list`."""
        with node.control() as control:
            found: list[dict[str, object]] = control.get("blobs")
        return found

    def state(self, node: Node, blob: str) -> str:
        """How a blob stands there; empty where it is not known."""
        return next((str(each["state"]) for each in self.listing(node) if each["hash"] == blob), "")

    def served_chunks(self) -> list[int]:
        """The chunks that were read for vps, in their order."""
        return [int(line) for line in self.served.read_text().split()] if self.served.exists() else []

    def await_served(self, count: int) -> None:
        """Wait until so many chunks were sent."""
        processes.wait_until(lambda: len(self.served_chunks()) >= count, 20, f"{count} chunks")

    def go_on(self) -> None:
        """Let the one go on that is held."""
        go_on(self.served).touch()

    def await_here(self, blob: str, within: float = 30.0) -> None:
        """Wait until vps has all of it."""
        processes.wait_until(lambda: self.state(self.vps, blob) == "here", within, "the blob", every=0.05)

    def received(self, blob: str) -> bytes:
        """What vps writes out of it."""
        target = self.mesh.folder / f"out-{blob[:8]}-{os.urandom(4).hex()}"
        self.vps.relay("blob", "get", blob, "-o", str(target))
        return target.read_bytes()

    def files(self, node: Node) -> list[str]:
        """What is in its folder of blobs."""
        return sorted(path.name for path in (node.home / "blobs").iterdir())

    def await_empty(self, node: Node) -> None:
        """Wait until nothing is kept there any more."""
        processes.wait_until(lambda: not self.files(node), 20, f"{node.name} to collect")


def document(line: str) -> dict[str, dict[str, object]]:
    """The document on a line."""
    found: dict[str, dict[str, object]] = json.loads(line)
    return found


@pytest.fixture(scope="session")
def _ground() -> Iterator[Ground]:
    with Mesh.scratch("relay-blobs-") as mesh:
        yield Ground(mesh, *mesh.pair("laptop", "vps"))


@pytest.fixture
def ground(_ground: Ground) -> Iterator[Ground]:
    """Healed before each test; after it no traceback was logged."""
    _ground.heal()
    yield _ground
    for node in (_ground.laptop, _ground.vps):
        log = node.log()
        assert "Traceback" not in log, log[-6000:]

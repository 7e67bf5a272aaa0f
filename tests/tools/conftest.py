"""Two brokers of one workspace, shared by a worker's tests of tools: `laptop` calls, `vps` has the runners."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh

ROOT = Path(__file__).parents[2]
Call = dict[str, Any]


class Served:
    """A program that is running, and its journal."""

    def __init__(self, node: Node, names: tuple[str, ...], title: str, kind: str, share: str, parallel: int) -> None:
        self.node, self.names, self.title = node, names, title
        self.journal = node.scratch / f"{fresh('journal')}.txt"
        words = [sys.executable, "-m", "tests.tools.program", str(node.home), str(self.journal), title, kind, share]
        self.process = subprocess.Popen(
            [*words, *names], cwd=ROOT, env=node.environment() | {"PARALLEL": str(parallel), "PATH": os.environ["PATH"]}
        )

    def lines(self, what: str) -> list[str]:
        """What its journal has of a kind."""
        text = self.journal.read_text() if self.journal.exists() else ""
        return [line.split()[1] for line in text.splitlines() if line.split()[0] == what]

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait()


class Ground:
    """The brokers, and what is started on them."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.laptop, self.vps = mesh.pair("laptop", "vps")
        self.served: list[Served] = []

    def heal(self) -> None:
        """Both run and are linked, laptop may call tools on vps, no program runs and none is known."""
        for program in self.served:
            program.kill()
        self.served.clear()
        for node in (self.laptop, self.vps):
            node.launcher = DAEMON
            if not node.running:
                node.start()
        (self.vps.home / "trust.toml").unlink(missing_ok=True)
        self.allow()
        self.mesh.await_link(self.laptop, self.vps)

    def allow(self) -> None:
        """Let laptop call tools on vps."""
        self.vps.relay("trust", "allow", self.laptop.id, "--verb", "tool")

    def serve(
        self,
        *names: str,
        on: Node | None = None,
        title: str = "",
        kind: str = "library",
        share: str = "test",
        parallel: int = 16,
        is_told: bool = True,
    ) -> Served:
        """Start a program on vps; returns once its runners are served there, and what is shared known to laptop."""
        node = on or self.vps
        program = Served(node, names, title or fresh("title"), kind, share, parallel)
        self.served.append(program)
        wait_until(lambda: all(self.tool(node, name, served=True) for name in names), 20, f"{names} to be served")
        if share and is_told and node is self.vps:
            wait_until(lambda: all(self.tool(self.laptop, name) for name in names), 20, f"{names} to be known")
        return program

    def tool(self, node: Node, name: str, **facts: object) -> dict[str, Any] | None:
        """A tool as a broker lists it, where it is as the facts say."""
        with node.control() as control:
            found = [each for each in control.get("tools")["tools"] if each["name"] == name]
        return next((each for each in found if facts.items() <= each.items()), None)

    def call(self, tool: str, wait_s: float = 20.0, on: Node | None = None, **fields: Any) -> Call:
        """Have laptop call a tool; the call as it stands at its end, or after so many seconds."""
        order = {"tool": tool, "wait_s": wait_s, "arguments": {}} | fields
        with (on or self.laptop).control() as control:
            answer: Call = control.post("calls", order)
        return answer

    def ended(self, call: str, wait_s: float = 30.0, on: Node | None = None) -> Call:
        """A call once it has ended, or as it stands after so many seconds."""
        with (on or self.laptop).control() as control:
            answer: Call = control.get(f"calls/{call}?wait_s={wait_s}")
        return answer

    def reaches(self, call: str, *states: str, within: float = 20.0, on: Node | None = None) -> Call:
        """A call once it stands in one of these ways."""

        def found() -> Call | None:
            known = self.ended(call, 0, on)
            return known if known["state"] in states else None

        return wait_until(found, within, f"{call} to be {states}") or {}


@pytest.fixture(scope="session")
def _ground() -> Iterator[Ground]:
    with Mesh.scratch("relay-tools-") as mesh:
        ground = Ground(mesh)
        yield ground
        for program in ground.served:
            program.kill()


@pytest.fixture
def ground(_ground: Ground) -> Iterator[Ground]:
    _ground.heal()
    yield _ground
    for node in _ground.mesh.nodes.values():
        assert "Traceback" not in node.log(), node.log()[-6000:]


@contextlib.contextmanager
def asleep(node: Node) -> Iterator[None]:
    """A broker that is killed for the length of a block."""
    node.kill()
    try:
        yield
    finally:
        node.start()

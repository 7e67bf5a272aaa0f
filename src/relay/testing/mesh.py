"""Brokers `a`, `b`, ... as real processes on loopback, paired and granted as a test asks.

    with Mesh.scratch() as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        mesh.grant(on=vps, to=laptop)
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from relay.testing import processes
from relay.testing.node import Node, NotReady

# Below the range from which Linux takes ports for outgoing connections, so that a port stays free over a restart.
_PORTS = range(20_000, 32_000)
_BLOCK = 25
_TRIES = 8
LINKED_WITHIN = 20.0
GONE_WITHIN = 5.0


class ProcessesLeft(Exception):
    """Processes of the scratch folder were alive after the mesh had been closed."""


def _ports() -> Iterator[int]:
    """Each port of this process's blocks, once."""
    starts = list(range(_PORTS.start, _PORTS.stop, _BLOCK))
    random.shuffle(starts)
    for start in filter(_is_ours, starts):
        yield from range(start, start + _BLOCK)


def _is_ours(start: int) -> bool:
    """Take a block for as long as this process lives; whether no other process of tests has it."""
    if sys.platform != "linux":
        return True  # names that lie in no folder, and go with who has them, are Linux's
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0relay-testing-ports-{start}")
    except OSError:
        name.close()
        return False
    name.detach()
    return True


_LEFT = _ports()
_HANDING_OUT = threading.Lock()


def free_port() -> int:
    """A loopback port that nobody listens on, and that is given to nobody else while this process lives.

    A broker that is stopped does not listen: were its port given to another test meanwhile, it could not start again.

    Raises:
        OSError: there is none left.
    """
    with _HANDING_OUT:
        for port in _LEFT:
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise OSError("no free port on loopback")


def _links(node: Node) -> int:
    try:
        return int(node.status()["links"])
    except OSError:
        return 0  # it has joined another workspace and opens its socket anew


@dataclass(slots=True)
class Mesh:
    """Nodes in one scratch folder. Use `Mesh.scratch()`, which also ends and checks everything."""

    folder: Path
    nodes: dict[str, Node] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def scratch(cls, prefix: str = "relay-") -> Iterator[Self]:
        """A mesh for the length of a block; at its end every process is stopped and the folder removed.

        Raises:
            ProcessesLeft: something outlived the mesh (not raised over another failure of the block).
        """
        # /tmp and not pytest's tmp_path: a socket's path has room for about 100 characters.
        mesh = cls(Path(tempfile.mkdtemp(prefix=prefix)).resolve())
        try:
            yield mesh
            mesh.close()
        finally:
            mesh.end()
            shutil.rmtree(mesh.folder, ignore_errors=True)

    # building

    def add(self, name: str, *, started: bool = True) -> Node:
        """A broker with an identity and a workspace of its own."""
        for left in reversed(range(_TRIES)):
            node = Node(self.folder, name, free_port())
            node.init()
            self.nodes[name] = node
            if not started:
                return node
            try:
                node.start()
                return node
            except NotReady as error:
                if not left or "port_taken" not in str(error):
                    raise
                shutil.rmtree(node.home)
        raise AssertionError("unreachable")

    def join(self, inviter: Node, name: str) -> Node:
        """A further broker, admitted to the inviter's workspace and linked to it."""
        node = self.add(name)
        link = inviter.relay_json("invite", "--link")["link"]
        node.relay("join", typed=link)
        self.await_link(inviter, node)
        return node

    def pair(self, first: str, second: str) -> tuple[Node, Node]:
        """Two linked brokers of one workspace, with no grants."""
        inviter = self.add(first)
        return inviter, self.join(inviter, second)

    def await_link(self, *nodes: Node) -> None:
        """Wait until each of these nodes has a link up."""
        for node in nodes:
            processes.wait_until(lambda node=node: _links(node) > 0, LINKED_WITHIN, f"a link of {node.name}")  # type: ignore[misc]

    def grant(self, *, on: Node, to: Node, words: tuple[str, ...] = ("--agent", "exec", "--agent", "shell")) -> None:
        """`relay trust allow` on one node, for another: spawn in its work directory.

        Args:
            on: the node that will run things.
            to: the node that may ask it to.
            words: further options of `trust allow`.
        """
        on.relay("trust", "allow", to.id, "--verb", "spawn", "--dir", str(on.work), "--max-parallel", "64", *words)

    # ending

    def close(self) -> None:
        """Stop every broker in order, then expect that nothing is left.

        Raises:
            ProcessesLeft: something was alive 5 s later.
        """
        for node in self.nodes.values():
            with suppress(subprocess.TimeoutExpired):
                node.stop()
        self.expect_nothing_left()

    def expect_nothing_left(self, within: float = GONE_WITHIN) -> None:
        """Wait until no process belongs to the scratch folder.

        Raises:
            ProcessesLeft: with one line a process.
        """
        try:
            processes.wait_until(lambda: not processes.processes_left(self.folder), within, "the end of all", every=0.1)
        except TimeoutError:
            left = processes.processes_left(self.folder)
            if left:
                raise ProcessesLeft(f"alive after {within:g} s:\n{processes.describe(left)}") from None

    def end(self) -> None:
        """SIGKILL to whatever still belongs to the scratch folder; never raises."""
        for node in self.nodes.values():
            node.kill()
        for _ in range(5):
            left = processes.processes_left(self.folder)
            for process in left:
                processes.kill(process)
            if not left:
                return

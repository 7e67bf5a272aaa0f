"""Brokers in the sites of an internet; driven from outside over their control sockets, as in every mesh."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from relay.testing.mesh import Mesh
from relay.testing.netns.internet import Internet
from relay.testing.node import Node

PORT = 7411


@dataclass(slots=True)
class SiteNode(Node):
    """A broker that listens on all addresses of its site, so that they may change."""

    @property
    def address(self) -> str:
        """Where the broker listens."""
        return f"0.0.0.0:{self.port}"


@dataclass(slots=True)
class InternetMesh(Mesh):
    """A mesh whose brokers live in the sites of their names.

    Attributes:
        internet: make the sites first; gone with the mesh.
    """

    internet: Internet = field(default_factory=Internet)

    def add(self, name: str, *, started: bool = True) -> Node:
        """A broker in the site of its name, with an identity and a workspace of its own."""
        node = SiteNode(self.folder, name, PORT, namespace=self.internet.sites[name].namespace)
        node.init()
        self.nodes[name] = node
        # what brokers find of each other here is the test's business alone
        if "mdns" in node.relay_json("config", "list"):
            node.relay("config", "set", "mdns", "false")
        if started:
            node.start()
        return node

    def command(self, name: str, *words: str) -> tuple[str, ...]:
        """The command that runs a Python program (`-m MODULE`, `-c TEXT`, ...) in a site."""
        return self.internet.sites[name].inside(sys.executable, *words)

    def end(self) -> None:
        """SIGKILL to whatever still belongs to the mesh, then remove its networks; never raises."""
        try:
            Mesh.end(self)
        finally:
            self.internet.close()

"""One broker a worker, whose dashboard is open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.dashboard.browser import Browser


def served(mesh: Mesh, name: str) -> Node:
    """A broker of whose dashboard nothing is known to others on this machine."""
    node = mesh.add(name, started=False)
    node.configure("dashboard = { port = 0 }")
    node.start()
    return node


@pytest.fixture(scope="session")
def _node() -> Iterator[Node]:
    with Mesh.scratch("relay-dash-") as mesh:
        yield served(mesh, "laptop")


@pytest.fixture(scope="module")
def browser(_node: Node) -> Iterator[Browser]:
    """A browser that may do everything."""
    yield Browser.of(_node)
    assert "Traceback" not in _node.log(), _node.log()[-6000:]


@pytest.fixture(scope="module")
def stranger(browser: Browser) -> Browser:
    """One that was not let in."""
    return Browser(browser.node, browser.port)

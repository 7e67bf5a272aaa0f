"""An internet of the test's own, gone after it; a skip with the reason where this machine makes none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.testing.netns import ability, namespaces
from relay.testing.netns.brokers import InternetMesh


@pytest.fixture(scope="session")
def _able() -> None:
    if reason := ability.why_not():
        pytest.skip(reason)
    namespaces.remove_leftovers()


@pytest.fixture
def mesh(_able: None) -> Iterator[InternetMesh]:
    """No sites yet, and no brokers."""
    with InternetMesh.scratch("relay-net-") as mesh:
        yield mesh
        for node in mesh.nodes.values():
            log = node.log()
            assert "Traceback" not in log, log[-6000:]
    namespaces.await_gone(mesh.internet.spaces.prefix)

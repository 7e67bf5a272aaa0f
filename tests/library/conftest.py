"""One pair of brokers a worker, which the tests of the library share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene


@pytest.fixture(scope="session")
def _pair() -> Iterator[Scene]:
    with Mesh.scratch("relay-lib-") as mesh:
        scene = Scene.made(mesh)
        words = ("--verb", "tool", "--agent", "shell", "--agent", "exec", "--dir", "new", "--dir", str(scene.vps.work))
        scene.grant(*words)
        yield scene


@pytest.fixture
def two(_pair: Scene) -> Iterator[Scene]:
    """`laptop`, and `vps` that lets it run `shell` and `exec`; both run, and nothing of them has broken."""
    for node in (_pair.laptop, _pair.vps):
        if not node.running:
            node.start()
    _pair.linked()
    yield _pair
    for node in (_pair.laptop, _pair.vps):
        log = node.log()
        assert "Traceback" not in log, log[-6000:]

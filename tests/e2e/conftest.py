"""One pair of brokers a worker, healed before each test, and looked through for tracebacks after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene

_SLOTS = 'slots = { exec = 1, "label:gpu" = 1 }'


@pytest.fixture(scope="session")
def _pair() -> Iterator[Scene]:
    with Mesh.scratch("relay-e2e-") as mesh:
        yield Scene.made(mesh)


@pytest.fixture
def two(_pair: Scene) -> Iterator[Scene]:
    """`laptop` and `vps`, linked, without grants."""
    _pair.heal()
    yield _pair
    _no_traceback(_pair.mesh)


@pytest.fixture
def granted(two: Scene) -> Scene:
    """The same, and laptop may run `shell` and `exec` on vps."""
    two.grant()
    return two


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """A mesh of the test's own, empty."""
    with Mesh.scratch("relay-e2e-") as mesh:
        yield mesh
        _no_traceback(mesh)


def _no_traceback(mesh: Mesh) -> None:
    for node in mesh.nodes.values():
        log = node.log()
        assert "Traceback" not in log, log[-6000:]


@pytest.fixture(scope="module")
def _slotted() -> Iterator[Scene]:
    with Mesh.scratch("relay-queue-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        vps.stop()
        vps.configure("max_parallel = 2", _SLOTS)
        yield Scene(mesh, laptop, vps)


@pytest.fixture
def queue(_slotted: Scene) -> Iterator[Scene]:
    """Two slots on vps, one for `exec`, one for what is labelled gpu; the queue is open."""
    _slotted.heal()
    _slotted.grant()
    yield _slotted
    with _slotted.vps.control() as control:
        control.post("queue/resume", {})
        for spawn in control.get("queue"):
            control.post(f"spawns/{spawn['id']}/stop", {})
    assert "Traceback" not in _slotted.laptop.log() + _slotted.vps.log()

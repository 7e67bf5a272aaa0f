"""A repository here, another machine's folder there; and one pair of brokers a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene, fresh
from tests.trees.ground import Far, repository


@pytest.fixture(autouse=True)
def _home_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of this machine's user reaches git, and no folder of a test lies in a home."""
    home = tmp_path / "someone"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return repository(tmp_path / "repo")


@pytest.fixture
def far(tmp_path: Path) -> Far:
    """The other machine."""
    return Far(tmp_path / "far")


@pytest.fixture(scope="session")
def _pair() -> Iterator[Scene]:
    with Mesh.scratch("relay-trees-") as mesh:
        yield Scene.made(mesh)


@pytest.fixture
def two(_pair: Scene) -> Iterator[Scene]:
    """`laptop` and `vps`, linked; laptop may run `shell` on vps, in fresh folders and in its work directory."""
    _pair.heal()
    _pair.grant("--agent", "exec", "--agent", "shell", "--dir", "new")
    yield _pair
    for node in _pair.mesh.nodes.values():
        log = node.log()
        assert "Traceback" not in log, log[-6000:]


@pytest.fixture
def tree(two: Scene) -> Path:
    """A repository on laptop with uncommitted work."""
    repo = repository(two.mesh.folder / fresh("tree"))
    (repo / "b").write_text("dirty\n")
    (repo / "untracked").write_text("x\n")
    return repo


@pytest.fixture
def far_repo(two: Scene) -> Path:
    """A repository on vps, within its grant."""
    return repository(two.vps.work / fresh("repo"))

"""Programs that stand in for an agent's, on the PATH of brokers that a test starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene

# how a claude of /bin/sh hears what it is told: one turn of stream-json on its input
HEARS = """read -r line
told=$(printf '%s' "$line" | sed 's/.*"content": "\\([^"]*\\)".*/\\1/')
"""


@contextmanager
def on_path(programs: Path) -> Iterator[None]:
    """What is started meanwhile finds these programs first; brokers of other meshes are not to hear of the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        yield


@contextmanager
def with_claude(script: str, prefix: str) -> Iterator[Scene]:
    """A laptop and a vps whose brokers find this script as `claude`, in the folder `programs` of the mesh.

    Args:
        script: a program's text.
        prefix: of the mesh's folder.
    """
    with Mesh.scratch(prefix) as mesh:
        programs = mesh.folder / "programs"
        programs.mkdir()
        (programs / "claude").write_text(script)
        (programs / "claude").chmod(0o755)
        with on_path(programs):
            scene = Scene.made(mesh)
        yield scene
        assert "Traceback" not in scene.vps.log() + scene.laptop.log()

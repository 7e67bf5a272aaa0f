"""A full disk pauses a download, and nothing that came before is fetched again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHUNKS = 192


def _may_mount() -> bool:
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "true")
    return shutil.which("unshare") is not None and subprocess.run(unshare, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="needs user namespaces to mount a small file system")
def test_a_full_disk_in_the_middle(tmp_path: Path) -> None:
    private = ("unshare", "--user", "--map-root-user", "--mount")
    done = subprocess.run(
        [*private, sys.executable, "-m", "tests.blobs.full_disk_program", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["paused"]["reason"].startswith("the disk is full"), told["paused"]
    assert 0 < told["paused"]["done"] < told["here"]["size"]
    assert told["spawn"] == "completed", "what else this broker does goes on"
    assert told["same"]
    assert told["served"] <= CHUNKS + 3 * 16
    assert "Traceback" not in told["log"] + done.stderr

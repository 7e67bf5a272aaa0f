"""Commands typed in a folder, with two brokers in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relay.testing import command
from relay.testing.node import Node
from tests.e2e.scene import Done, Scene, fresh


def relay(node: Node, folder: Path, *words: str) -> Done:
    """`relay WORDS` typed in a folder."""
    done = command.run(words, node.environment(), folder, timeout=40.0)
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
    return done


def said(done: Done) -> str:
    """All that it said."""
    return (done.stdout + done.stderr).decode()


def spawned(two: Scene, folder: Path, task: str, *options: str, status: int = 0) -> dict[str, Any]:
    """A script that vps ran for laptop, as it ended."""
    words = ("spawn", fresh(), "shell", task, "--broker", "vps", "--timeout", "60s", "--wait", "--json", *options)
    done = relay(two.laptop, folder, *words)
    assert done.returncode == status, said(done)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def place_of(two: Scene, spawn: str) -> Path:
    """Where it worked, on vps."""
    return two.vps.home / "worktrees" / spawn

"""Folders that are there for a while, and a tree that nobody is there to send."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from relay.git.rooms import BACK, HERE, room
from relay.testing.node import Node
from tests.e2e.scene import error_of
from tests.trees.ground import git
from tests.trees.typed import relay


def test_what_a_killed_program_left_goes_with_the_next_one(tmp_path: Path) -> None:
    left, young, other = tmp_path / f"{HERE}left", tmp_path / f"{BACK}young", tmp_path / ".other-left"
    for each in (left, young, other):
        each.mkdir()
        (each / "tree.bundle").write_bytes(b"x")
    with room(str(tmp_path), BACK) as held:
        (held / "change.bundle").write_bytes(b"y")
        for each in (left, held, other):
            os.utime(each, (0, 0))
        with room(str(tmp_path), HERE):
            assert (held / "change.bundle").exists(), "whoever made it still uses it"
        assert not left.exists() and young.exists() and other.exists()
    assert not held.exists()


def test_where_no_broker_runs_nothing_is_kept_of_a_tree(repo: Path, tmp_path: Path) -> None:
    node = Node(tmp_path, "alone", 1)
    node.init()
    done = relay(node, repo, "spawn", "x", "shell", "true", "--broker", "vps", "--here", "--json")
    assert error_of(done)["code"] == "not_running"
    assert git(repo, "for-each-ref", "refs/relay") == "" and not list(node.home.glob(f"{HERE}*"))


def test_who_stands_in_a_folder_that_is_gone_is_told_so(repo: Path, tmp_path: Path) -> None:
    node = Node(tmp_path, "alone", 1)
    node.init()
    line = f'rmdir "$PWD"; exec "{sys.executable}" -m relay spawn x shell true --broker vps --here --dry-run'
    (gone := repo / "gone").mkdir()
    where = node.environment() | {"PWD": str(gone)}
    done = subprocess.run(["/bin/sh", "-c", line], cwd=gone, env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "a folder that is not there any more" in done.stderr, done.stderr

"""What `relay clean` cannot remove it says, and what lies in a place alone it leaves there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.testing import processes
from tests.e2e.scene import Scene
from tests.trees.ground import Far
from tests.trees.typed import place_of, relay, spawned


def _cleaned(two: Scene) -> dict[str, Any]:
    words = ("clean", "--older-than", "0", "--json")
    document: dict[str, Any] = json.loads(relay(two.vps, two.mesh.folder, *words).stdout)
    return document


@contextmanager
def _stuck(file: Path) -> Iterator[None]:
    """A file that nobody can remove, not even root."""
    if subprocess.run(["chattr", "+i", str(file)], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root, and not on every disk, can make a file that cannot be removed")
    try:
        yield
    finally:
        for path in file.parents[2].glob(f"*/{file.parent.name}/{file.name}"):
            subprocess.run(["chattr", "-i", str(path)], check=True)


def test_what_cannot_be_removed_is_not_said_to_be(two: Scene, tree: Path) -> None:
    spawn = spawned(two, tree, "mkdir d; echo x > d/stuck; echo y > d/other", "--here")["id"]
    processes.wait_until(lambda: relay(two.laptop, tree, "diff", spawn).returncode == 0, 30, "its change")
    with _stuck(place_of(two, spawn) / "d" / "stuck"):
        done = _cleaned(two)
        kept = {each["spawn"]: each["why"] for each in done["kept"]}
        assert "not all of it could be removed" in kept[spawn]
        assert spawn not in {each["spawn"] for each in done["removed"]}
        assert not place_of(two, spawn).exists(), "it has lost its name: nobody goes on in half of it"
    assert spawn in {each["spawn"] for each in _cleaned(two)["removed"]}
    assert not list(place_of(two, spawn).parent.glob(f"{spawn}*"))


def test_what_could_not_be_brought_back_stays(two: Scene, tree: Path) -> None:
    breaks = f"rm -r {two.vps.home}/worktrees/$RELAY_SPAWN.git/refs"
    found = spawned(two, tree, f"echo n > n; {breaks}", "--here")
    assert found["result"]["branch"] is None
    assert any("was not brought back, and stays in" in each for each in found["result"]["notes"]), found["result"]
    kept = {each["spawn"]: each["why"] for each in _cleaned(two)["kept"]}
    assert "here alone" in kept[found["id"]] and (place_of(two, found["id"]) / "n").exists()


def test_folders_that_nobody_can_read_are_removed_too(far: Far, repo: Path) -> None:
    place = far.received(far.sent(repo))
    (place / "d" / "e").mkdir(parents=True)
    (place / "d" / "e" / "f").write_text("x")
    for each in (place / "d" / "e", place / "d"):
        each.chmod(0)
    far.place.remove()
    assert not list(far.place.root.glob("*"))

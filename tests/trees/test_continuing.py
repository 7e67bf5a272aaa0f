"""`relay continue` in a place that came along: the agent goes on in the same tree, and its changes come on top."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.testing import command
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh
from tests.e2e.stand_ins import with_claude
from tests.e2e.test_continue import CLAUDE
from tests.trees.ground import git, listing, repository


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A laptop and a vps that has a `claude`."""
    with with_claude(CLAUDE, "relay-trees-") as made:
        made.grant("--agent", "claude", "--dir", "new")
        yield made


@pytest.fixture
def tree(scene: Scene) -> Path:
    """A repository on laptop."""
    return repository(scene.mesh.folder / fresh("tree"))


def typed(node: Node, folder: Path, *words: str, status: int = 0) -> Any:
    """The document of a command typed in a folder."""
    done = command.run((*words, "--json"), node.environment(), folder, timeout=40.0)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_it_goes_on_in_the_same_tree_and_is_pulled_again(scene: Scene, tree: Path) -> None:
    name, relay = fresh(), partial(typed, scene.laptop, tree)
    first = relay("spawn", name, "claude", "plan it", "--broker", "vps", "--here", "--wait")
    assert relay("pull", name)["how"] == "fast-forward"
    again = relay("continue", name, "now fix the tests", "--wait")
    assert (again["cwd"], again["attempt"]) == (first["cwd"], 2)
    assert relay("pull", name)["how"] == "fast-forward"
    lines = (tree / "told").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["plan it", "now fix the tests"]
    assert git(tree, "rev-list", "--count", f"relay/{name}") == "3" and "told" in listing(tree)


def _cleaned(scene: Scene, spawn: str) -> bool:
    done = typed(scene.vps, scene.mesh.folder, "clean", "--older-than", "0")
    return spawn in {each["spawn"] for each in done["removed"]}


@pytest.mark.parametrize("where", ["--here", "--repo", "--cwd"])
def test_in_a_folder_that_was_removed_nobody_goes_on(scene: Scene, tree: Path, where: str) -> None:
    """It would be an empty one, or one without what was done in it, and nobody would say so."""
    name, relay = fresh(), partial(typed, scene.laptop, tree)
    far = scene.vps.work / "far"
    option = {"--here": ("--here",), "--cwd": ("--cwd", "new"), "--repo": ("--repo", str(far))}[where]
    if where == "--repo":
        repository(far)
        scene.grant("--agent", "claude", "--dir", "new", "--dir", str(scene.vps.work))
    first = relay("spawn", name, "claude", "plan it", "--broker", "vps", *option, "--wait")
    wait_until(lambda: _cleaned(scene, first["id"]), 60, "its folder to be removed", every=0.2)
    for words in (("continue", name, "go on"), *([("retry", name)] if where == "--here" else [])):
        assert relay(*words, status=1)["error"]["code"] == "place_gone"
    shown = relay("show", name)
    assert (shown["state"], shown["attempt"], shown["task"]) == ("completed", 1, "plan it")
    if where != "--cwd":  # what came back is kept, for who has what it began from
        pulled = typed(scene.laptop, far if where == "--repo" else tree, "pull", name)
        assert pulled["branch"] == f"relay/{name}"


def test_what_is_refused_or_stopped_before_it_goes_on_loses_nothing(scene: Scene, tree: Path) -> None:
    """Neither the session nor the changes of before: they are the only ones."""
    name, relay = fresh(), partial(typed, scene.laptop, tree)
    first = relay("spawn", name, "claude", "plan it", "--broker", "vps", "--here", "--wait")
    scene.heal()
    scene.grant("--agent", "shell", "--dir", "new")
    refused = relay("continue", name, "go on", "--wait", status=125)
    assert refused["state"] == "rejected" and refused["result"]["session"] == first["result"]["session"]
    scene.heal()
    scene.grant("--agent", "claude", "--dir", "new")
    scene.vps.relay("queue", "pause")
    relay("continue", name, "go on")
    relay("stop", name)
    scene.vps.relay("queue", "resume")
    scene.until(first["id"], "cancelled")
    assert relay("pull", name)["branch"] == f"relay/{name}" and (tree / "told").exists()
    again = relay("continue", name, "go on", "--wait")
    assert again["state"] == "completed" and again["result"]["session"] == first["result"]["session"]
    assert relay("pull", name)["how"] == "fast-forward"

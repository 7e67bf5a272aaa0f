"""`relay continue` in a place that came along: the agent goes on in the same tree, and its changes come on top."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from relay.testing import command
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


def test_it_goes_on_in_the_same_tree_and_is_pulled_again(scene: Scene) -> None:
    tree = repository(scene.mesh.folder / "tree")
    name = fresh()
    environment = scene.laptop.environment()

    def relay(*words: str) -> dict[str, object]:
        done = command.run((*words, "--json"), environment, tree, timeout=40.0)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    first = relay("spawn", name, "claude", "plan it", "--broker", "vps", "--here", "--wait")
    assert relay("pull", name)["how"] == "fast-forward"
    again = relay("continue", name, "now fix the tests", "--wait")
    assert (again["cwd"], again["attempt"]) == (first["cwd"], 2)
    assert relay("pull", name)["how"] == "fast-forward"
    lines = (tree / "told").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["plan it", "now fix the tests"]
    assert git(tree, "rev-list", "--count", f"relay/{name}") == "3" and "told" in listing(tree)

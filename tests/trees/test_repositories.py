"""`--repo`, `--push`, and what of both a grant allows: typed by a person, with two brokers in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import Scene, error_of, fresh, type_hint
from tests.trees.ground import git, repository
from tests.trees.typed import relay, said, spawned


def test_a_repository_in_a_fresh_worktree_and_pulled_into_a_clone(two: Scene, tree: Path, far_repo: Path) -> None:
    git(far_repo, "branch", "dev")
    found = spawned(two, tree, "git branch --show-current; echo n > n", "--repo", f"{far_repo}@dev")
    assert found["result"]["output_tail"] == f"relay/{found['name']}\n"
    assert found["place"] | {"key": 0} == {
        "kind": "repo", "repo": str(far_repo), "ref": "dev", "sub": "", "push": None, "key": 0, "tree": None
    }  # fmt: skip
    refused = relay(two.laptop, two.mesh.folder, "pull", found["id"], "--json")
    assert refused.returncode == 2 and error_of(refused)["code"] == "bad_tree"
    clone = two.mesh.folder / fresh("clone")
    git(two.mesh.folder, "clone", "-q", str(far_repo), str(clone))
    assert json.loads(relay(two.laptop, clone, "pull", found["id"], "--json").stdout)["how"] == "fast-forward"
    assert (clone / "n").read_text() == "n\n" and git(far_repo, "status", "--porcelain") == ""


def test_pushing_takes_the_verb_and_what_became_of_it_is_told(two: Scene, tree: Path, far_repo: Path) -> None:
    bare = two.vps.work / f"{far_repo.name}.git"
    git(two.vps.work, "clone", "-q", "--bare", str(far_repo), str(bare))
    found = spawned(two, tree, "echo n > n", "--repo", str(bare), "--push", status=125)
    assert found["error"]["code"] == "no_verb"
    type_hint(found["error"]["hint"], {"vps": two.vps})
    found = spawned(two, tree, "echo n > n", "--repo", str(bare), "--push")
    assert found["result"]["pushed"] == {
        "remote": str(bare), "branch": f"relay/{found['name']}", "done": True, "why": ""
    }  # fmt: skip
    assert git(bare, "show", f"relay/{found['name']}:n") == "n"
    nowhere = f"{two.vps.work}/nowhere"
    found = spawned(two, tree, "echo n > n", "--repo", str(bare), "--push-to", nowhere)
    assert found["state"] == "completed" and found["result"]["pushed"]["done"] is False
    assert any(f"not pushed to {nowhere}" in note for note in found["result"]["notes"])


def test_the_grant_says_where_a_repository_may_lie(two: Scene, tree: Path) -> None:
    outside = repository(two.mesh.folder / fresh("outside"))
    for source in (str(outside), f"file://{outside}"):
        found = spawned(two, tree, "true", "--repo", source, status=125)
        assert found["error"]["code"] == "foreign_directory" and str(outside) in found["error"]["message"]
    link = two.vps.work / fresh("link")
    link.symlink_to(outside)
    assert spawned(two, tree, "true", "--repo", str(link), status=125)["error"]["code"] == "foreign_directory"


@pytest.fixture
def without_new(two: Scene) -> Iterator[Scene]:
    """The grant has no fresh folders."""
    (two.vps.home / "trust.toml").unlink()
    two.grant()
    yield two


def test_without_fresh_folders_neither_is_allowed_and_dry_run_and_trust_test_say_so(
    without_new: Scene, tree: Path
) -> None:
    two = without_new
    for place in (("--here",), ("--repo", "https://example.org/x.git")):
        found = spawned(two, tree, "true", *place, status=125)
        assert found["error"]["code"] == "foreign_directory" and "--dir new" in found["error"]["hint"]
        words = ("spawn", fresh(), "shell", "true", "--broker", "vps", "--dry-run", "--json", *place)
        trial = json.loads(relay(two.laptop, tree, *words).stdout)
        assert (trial["verdict"], trial["error"]["code"]) == ("refuse", "foreign_directory")
    tested = relay(two.vps, tree, "trust", "test", "laptop", "--agent", "shell", "--repo", "https://example.org/x.git")
    assert tested.returncode == 1 and "--dir new" in said(tested)
    two.vps.relay("trust", "allow", "laptop", "--dir", "new")
    tested = relay(two.vps, tree, "trust", "test", "laptop", "--agent", "shell", "--repo", "https://example.org/x.git")
    assert tested.returncode == 0, said(tested)
    for words, flag in ((("--repo", "/srv/x"), "--dir /srv/x"), (("--repo", "https://h/x", "--push"), "--verb push")):
        tested = relay(two.vps, tree, "trust", "test", "laptop", "--agent", "shell", *words)
        assert tested.returncode == 1 and flag in said(tested)
    words = ("spawn", fresh(), "shell", "true", "--broker", "vps", "--dry-run", "--json", "--here")
    trial = json.loads(relay(two.laptop, tree, *words).stdout)
    assert trial["verdict"] == "start" and trial["facts"]["directory"]["fresh"] and trial["place"]["kind"] == "git"
    assert git(tree, "for-each-ref", "refs/relay") != "", "of the spawns before"


def test_no_place_is_refused_with_the_four_choices(two: Scene, tree: Path) -> None:
    name = fresh()
    done = relay(two.laptop, tree, "spawn", name, "shell", "true", "--broker", "vps", "--wait", "--json")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 125 and error["code"] == "no_directory"
    assert all(choice in error["hint"] for choice in ("--cwd DIR", "--cwd new", "--repo URL[@REF]", "--here"))


@pytest.mark.parametrize(
    "words",
    [
        ("--here", "--cwd", "new"), ("--repo", "https://h/x", "--cwd", "/srv"), ("--here", "--repo", "https://h/x"),
        ("--here", "--push"), ("--push", "--cwd", "new"), ("--repo", "ext::id"), ("--repo", ""),
        ("--repo", "https://h/x@-f"), ("--here", "--every", "6h"), ("--repo", "https://u:pa55@h/x"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_here(two: Scene, tree: Path, words: tuple[str, ...]) -> None:
    done = relay(two.laptop, tree, "spawn", fresh(), "shell", "true", "--broker", "vps", "--json", *words)
    assert done.returncode == 2 and error_of(done)["why"] and "pa55" not in said(done)

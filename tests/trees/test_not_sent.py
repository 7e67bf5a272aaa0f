"""What no tree takes along, and what cannot travel: refused with the reason before anything is sent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.core import workplaces
from relay.core.errors import Code, Misuse, RelayError
from relay.git import snapshot as snapshots
from relay.git import tree as trees
from tests.trees.ground import Far, fingerprint, git, repository, with_submodule


def _conflicted(repo: Path, tmp_path: Path) -> str:
    git(repo, "checkout", "-qb", "other")
    (repo / "a").write_text("theirs\n")
    git(repo, "commit", "-qam", "theirs")
    git(repo, "checkout", "-q", "main")
    (repo / "a").write_text("ours\n")
    git(repo, "commit", "-qam", "ours")
    git(repo, "merge", "-q", "other", check=False)
    return "in the middle of a merge"


def _dirty_submodule(repo: Path, tmp_path: Path) -> str:
    with_submodule(repo, tmp_path)
    (repo / "module/a").write_text("changed in there\n")
    return "a submodule has changes"


def _submodule_with_untracked(repo: Path, tmp_path: Path) -> str:
    with_submodule(repo, tmp_path)
    git(repo, "config", "submodule.module.ignore", "all")
    (repo / "module/untracked").write_text("x")
    return "a submodule has changes"


def _nested(repo: Path, tmp_path: Path) -> str:
    repository(repo / "nested")
    return "another repository in this tree"


def _nested_unborn(repo: Path, tmp_path: Path) -> str:
    repository(repo / "deep/nested", commit=False)
    return "another repository in this tree"


def _nested_and_added(repo: Path, tmp_path: Path) -> str:
    repository(repo / "nested")
    git(repo, "-c", "advice.addEmbeddedRepo=false", "add", "nested")
    (repo / "nested/a").write_text("changed\n")
    return "a submodule has changes"


def _kept_elsewhere(repo: Path, tmp_path: Path) -> str:
    git(repo, "config", "filter.lfs.clean", "sed s/^/pointer:/")
    (repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    (repo / "big.bin").write_text("the content itself\n")
    return "arrive without their content"


def _too_big(repo: Path, tmp_path: Path) -> str:
    with (repo / "huge").open("wb") as file:
        file.truncate(workplaces.MAX_FILE + 1)
    return "too big to send"


def _sha256(repo: Path, tmp_path: Path) -> str:
    subprocess.run(["rm", "-rf", str(repo)], check=True)
    repo.mkdir()
    git(repo, "init", "-q", "--object-format=sha256")
    return "this tree cannot be sent"


def _in_git_itself(repo: Path, tmp_path: Path) -> str:
    os.rename(repo, tmp_path / "moved")
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "moved"), str(repo))
    return "no working tree here"


def _unreadable(repo: Path, tmp_path: Path) -> str:
    (repo / "broken").symlink_to("x")
    (repo / ".git/index").write_bytes(b"no index at all, but long enough to look like one")
    return "git"


REFUSED = [
    _conflicted, _dirty_submodule, _submodule_with_untracked, _nested, _nested_unborn, _nested_and_added,
    _kept_elsewhere, _too_big, _sha256, _in_git_itself, _unreadable,
]  # fmt: skip


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__.strip("_"))
def test_what_cannot_travel_is_refused_before_anything_is_sent(
    repo: Path, tmp_path: Path, far: Far, make: Callable[[Path, Path], str]
) -> None:
    what = make(repo, tmp_path)
    before = fingerprint(repo)
    with pytest.raises(RelayError) as refused:
        far.sent(repo)
    assert what in refused.value.message and refused.value.why
    assert fingerprint(repo) == before and git(repo, "for-each-ref", "refs/relay") == ""


def test_all_of_it_together_may_be_too_much(repo: Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_BUNDLE", 100)
    with pytest.raises(Misuse, match="too big to send") as refused:
        far.sent(repo)
    assert refused.value.code is Code.BAD_TREE
    assert git(repo, "for-each-ref", "refs/relay") == ""
    monkeypatch.setattr(trees, "MAX_FILES", 1)
    (repo / "untracked").write_text("x")
    (repo / "another").write_text("x")
    with pytest.raises(Misuse, match="too many files"):
        far.sent(repo)


@pytest.mark.parametrize("inside", ["", "repo"])
def test_a_home_folder_is_never_sent(
    tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    home = tmp_path / "home" / inside
    repository(home) if inside else home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for folder in (home, home.parent):
        with pytest.raises(Misuse, match="a home folder is not sent"):
            far.sent(folder)


def test_the_broker_s_own_keys_are_never_sent(repo: Path) -> None:
    far = Far(repo / "far")
    with pytest.raises(Misuse, match="this tree cannot be sent") as refused:
        far.sent(repo)
    assert "broker's own home" in refused.value.why


def test_a_file_that_goes_while_the_tree_is_read_is_said_and_no_fault_of_git(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "churn").write_text("x")
    (tmp_path / "into").mkdir()
    sizes = trees.require_sizes

    def read(*given: object, **more: object) -> None:
        sizes(*given, **more)  # type: ignore[arg-type]
        (repo / "churn").unlink()  # as a build does that runs beside it

    monkeypatch.setattr(trees, "require_sizes", read)
    with pytest.raises(Misuse) as refused:
        snapshots.snapshot(repo, tmp_path / "home", "k" * 16, tmp_path / "into")
    assert refused.value.code is Code.BAD_TREE and "went while they were read" in refused.value.message

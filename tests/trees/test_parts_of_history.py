"""Repositories that have their history, or what they say of it, only in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.core.errors import Code, RelayError
from relay.git.pulling import pull
from tests.trees.ground import Far, git, listing


def test_a_clone_without_old_content_goes_as_one_commit(repo: Path, far: Far, tmp_path: Path) -> None:
    (repo / "a").write_text("two\n")
    git(repo, "commit", "-qam", "two")
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=tree:0", f"file://{repo}", "clone")
    clone = tmp_path / "clone"
    made = far.sent(clone)
    assert listing(far.received(made)) == listing(clone) and "history does not go along" in made.notes[0]
    (far.place.tree / "b").write_text("by the task\n")
    assert pull(far.returned(made), clone, far.near, far.scratch(), None).how == "fast-forward"
    assert git(clone, "rev-list", "--count", "HEAD") == "3"


def test_history_that_is_hidden_by_a_graft_goes_along(repo: Path, far: Far) -> None:
    (repo / "a").write_text("two\n")
    git(repo, "commit", "-qam", "two")
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/grafts").write_text(git(repo, "rev-parse", "HEAD") + "\n")
    assert git(far.received(far.sent(repo)), "rev-list", "--count", "HEAD") == "2"


def test_a_head_that_is_lost_is_refused_before_anything_is_sent(repo: Path, far: Far) -> None:
    (repo / ".git/HEAD").write_text("1" * 40 + "\n")
    with pytest.raises(RelayError) as refused:
        far.sent(repo)
    assert refused.value.code is Code.BAD_TREE and "HEAD names the commit 111111111111" in refused.value.why


def test_a_tree_that_its_configuration_says_is_elsewhere(repo: Path, far: Far) -> None:
    git(repo, "config", "core.worktree", "../..")
    with pytest.raises(RelayError, match="cannot be sent") as refused:
        far.sent(repo)
    assert refused.value.code is Code.BAD_TREE and "core.worktree" in refused.value.why


def test_what_failed_is_named_by_its_verb(repo: Path, far: Far) -> None:
    (repo / ".gitattributes").write_text("*.x working-tree-encoding=UTF-16\n")
    (repo / "a.x").write_text("no order of bytes is said")
    with pytest.raises(RelayError, match="git add failed"):
        far.sent(repo)

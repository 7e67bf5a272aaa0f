"""What a task changed comes back as commits that descend from where it began, whatever it did to its repository."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from relay.core import workplaces
from relay.spawn.worktrees import bringing_back
from relay.spawn.worktrees.bringing_back import cut
from relay.spawn.worktrees.place import Began
from tests.trees.ground import Far, git, repository


@pytest.fixture
def there(repo: Path, far: Far) -> Path:
    """The place that the repository became."""
    return far.received(far.sent(repo))


def _beside(far: Far, *words: str) -> str:
    return git(far.place.beside, "--git-dir", str(far.place.beside), *words)


def _files(far: Far, commit: str) -> dict[str, str]:
    names = _beside(far, "ls-tree", "-r", "--name-only", commit).splitlines()
    return {name: _beside(far, "cat-file", "blob", f"{commit}:{name}") for name in names}


def test_nothing_changed_is_nothing(there: Path, far: Far) -> None:
    brought = far.brought()
    assert (brought.tip, brought.bundle, brought.diffstat, brought.notes) == (brought.base, None, "", [])


def test_its_commits_and_what_it_left_uncommitted(there: Path, far: Far) -> None:
    (there / "a").write_text("committed\n")
    git(there, "commit", "-qam", "mine")
    (there / "b").unlink()
    (there / "new").write_text("left\n")
    (there / ".gitignore").write_text("out\n")
    (there / "out").write_text("built\n")
    brought = far.brought()
    assert brought.commits == 2 and "4 files changed" in brought.diffstat
    subjects = _beside(far, "log", "--format=%s", f"{brought.base}..{brought.tip}").splitlines()
    assert subjects == ["what is left", "mine"]
    assert _files(far, brought.tip) == {"a": "committed", "new": "left", "sub/c": "c", ".gitignore": "out"}
    assert git(there, "status", "--porcelain").split() == ["D", "b", "??", ".gitignore", "??", "new"], "left as it is"


def test_a_further_attempt_goes_on_from_what_came_back_before(there: Path, far: Far) -> None:
    (there / "a").write_text("first\n")
    first = far.brought()
    assert far.brought().tip == first.tip, "nothing new is nothing new"
    (there / "a").write_text("second\n")
    second = far.brought()
    assert _beside(far, "rev-parse", f"{second.tip}~1") == first.tip
    git(there, "commit", "-qam", "now it commits")
    (there / "b").write_text("and goes on\n")
    third = far.brought()
    _beside(far, "merge-base", "--is-ancestor", second.tip, third.tip)
    assert _files(far, third.tip)["b"] == "and goes on" and third.base == first.base


def test_a_task_that_rewrites_or_removes_its_history_loses_no_files(there: Path, far: Far) -> None:
    (there / "a").write_text("kept\n")
    git(there, "checkout", "-q", "--orphan", "another")
    git(there, "commit", "-qam", "without a past")
    brought = far.brought()
    assert brought.commits == 1 and _files(far, brought.tip)["a"] == "kept"
    assert any("do not descend" in each for each in brought.notes)
    shutil.rmtree(there / ".git")
    (there / "b").write_text("still here\n")
    assert _files(far, far.brought().tip)["b"] == "still here"


def test_nothing_that_a_task_leaves_in_its_git_is_obeyed(there: Path, far: Far, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = there / "evil"
    script.write_text(f"#!/bin/sh\necho $0 >> {ran}\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "filter.x.clean", "filter.x.process",
        "core.editor", "gpg.program", "uploadpack.packObjectsHook", "core.alternateRefsCommand", "diff.x.textconv",
    ):  # fmt: skip
        git(there, "config", key, str(script))
    git(there, "config", "core.hooksPath", str(there))
    git(there, "config", "commit.gpgSign", "true")
    for hook in ("post-index-change", "pre-commit", "reference-transaction"):
        shutil.copy(script, there / hook)
        (there / ".git/hooks").mkdir(exist_ok=True)
        shutil.copy(script, there / ".git/hooks" / hook)
    (there / ".gitattributes").write_text("* filter=x diff=x\n")
    (there / "a").write_text("changed\n")
    brought = far.brought()
    assert _files(far, brought.tip)["a"] == "changed" and not ran.exists()


def test_a_task_s_repository_may_be_a_link_or_a_file(there: Path, far: Far, tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    shutil.move(there / ".git", tmp_path / "away")
    (there / ".git").symlink_to(other / ".git")
    (there / "a").write_text("changed\n")
    assert _files(far, far.brought().tip)["a"] == "changed"
    (there / ".git").unlink()
    (there / ".git").write_text(f"gitdir: {other}/.git\n")
    (there / "a").write_text("again\n")
    brought = far.brought()
    assert _files(far, brought.tip)["a"] == "again"
    assert git(other, "for-each-ref", "refs/relay") == ""


def test_what_does_not_come_back_is_named(there: Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing_back, "MAX_FILE", 1000)
    repository(there / "cloned")
    repository(there / "empty", commit=False)
    (there / "token.pem").write_text("SECRET")
    (there / "huge").write_bytes(bytes(2000))
    (there / "fine").write_text("fine")
    brought = far.brought()
    assert sorted(_files(far, brought.tip)) == ["a", "b", "fine", "sub/c"]
    said = " ".join(brought.notes)
    assert all(name in said for name in ("cloned/", "empty/", "token.pem", "huge"))
    monkeypatch.setattr(bringing_back, "MAX_BUNDLE", 10)
    (there / "fine").write_text("finer")
    brought = far.brought()
    assert brought.bundle is None and "too big to come back" in brought.notes[-1]
    assert workplaces.MAX_BUNDLE > 10


def test_what_a_tool_excludes_for_itself_stays(there: Path, far: Far) -> None:
    (there / ".git/info").mkdir(exist_ok=True)
    (there / ".git/info/exclude").write_text(".aider*\n")
    (there / ".aider.chat").write_text("talk")
    assert far.brought().bundle is None


def test_a_plain_folder_s_changes(tmp_path: Path, far: Far) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "f").write_text("f\r\n")
    there = far.received(far.sent(plain))
    (there / "f").write_bytes(b"g\r\n")
    (there / "n").symlink_to("f")
    git(there, "init", "-q")
    brought = far.brought()
    assert brought.commits == 1 and "2 files changed" in brought.diffstat
    assert _beside(far, "cat-file", "blob", f"{brought.tip}:f") == "g"


def test_a_half_made_place_is_made_anew(repo: Path, far: Far) -> None:
    made = far.sent(repo)
    far.place.root.mkdir(parents=True)
    making = far.place.making
    making.mkdir()
    (making / "half").write_text("x")
    far.place.beside.mkdir()
    far.place.note(Began("a" * 40, False, "", "a" * 40, "a" * 40))  # it gets its name last
    there = far.received(made)
    assert not (there / "half").exists() and not list(far.place.root.glob("*.making-*"))
    (there / "work").write_text("of the first attempt")
    far.received(made)
    assert (there / "work").exists(), "a place that is whole is used again"


def test_a_place_goes_with_all_that_is_in_it(there: Path, far: Far) -> None:
    (there / "locked").mkdir()
    (there / "locked/file").write_text("x")
    os.chmod(there / "locked", 0o500)
    far.place.remove()
    assert not list(far.place.root.iterdir())


def test_a_long_diffstat_keeps_its_sum() -> None:
    text = "\n".join([*(f" file-{n} | 1 +" for n in range(2000)), " 2000 files changed"])
    assert len(cut(text)) <= workplaces.MAX_DIFFSTAT and cut(text).endswith(" ...\n 2000 files changed")
    assert cut("short") == "short"

"""Submodules and repositories inside of a tree: what stands in their configuration is never run, nor waited for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.core.errors import Code, RelayError
from relay.git.pulling import pull
from tests.trees.ground import Far, git, listing, repository, with_submodule

pytestmark = pytest.mark.timeout(60)


def _armed(module: Path, ran: Path) -> None:
    """Give a repository a filter that leaves a file, and make git look at each of its files anew."""
    (module / ".gitattributes").write_text("* filter=x\n")
    git(module, "add", ".")
    git(module, "commit", "-qm", "attributes")
    for key in ("clean", "smudge"):
        git(module, "config", f"filter.x.{key}", f"sh -c 'echo $PWD >> {ran}; cat'")
    for each in module.iterdir():
        if each.is_file():
            each.touch()


def _with_two(repo: Path, tmp_path: Path) -> Path:
    """A submodule with a submodule; the inner one."""
    outer = repository(tmp_path / "outer")
    git(outer, "submodule", "add", "-q", str(repository(tmp_path / "inner")), "in")
    git(outer, "commit", "-qm", "in")
    git(repo, "submodule", "add", "-q", str(outer), "module")
    git(repo, "commit", "-qm", "module")
    git(repo, "submodule", "update", "-q", "--init", "--recursive")
    return repo / "module/in"


def test_no_filter_of_a_submodule_runs_where_the_tree_is_sent_or_taken_back(
    repo: Path, far: Far, tmp_path: Path
) -> None:
    _armed(_with_two(repo, tmp_path), tmp_path / "ran")
    _armed(repo / "module", tmp_path / "ran")  # takes in what the one in it stands at now
    git(repo, "commit", "-qam", "on")
    for each in (repo / "module").rglob("*"):
        if each.is_file():
            each.touch()
    (tmp_path / "ran").unlink(missing_ok=True)  # the person's own git may run it
    made = far.sent(repo)
    (far.received(made) / "a").write_text("by the task\n")
    assert pull(far.returned(made), repo, far.near, far.scratch(), None).how == "fast-forward"
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_nor_one_of_what_the_task_put_into_a_submodule(repo: Path, far: Far, tmp_path: Path) -> None:
    with_submodule(repo, tmp_path)
    there = far.received(far.sent(repo))
    (there / "module").rmdir()
    _armed(repository(there / "module"), tmp_path / "ran")
    (tmp_path / "ran").unlink(missing_ok=True)
    (there / "a").write_text("by the task\n")
    brought = far.brought()
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert "a " in brought.diffstat and "what is in submodules is not brought back" in brought.notes[0]


def test_a_changed_inner_submodule_is_refused_too(repo: Path, far: Far, tmp_path: Path) -> None:
    (_with_two(repo, tmp_path) / "a").write_text("changed\n")
    with pytest.raises(RelayError, match="a submodule has changes"):
        far.sent(repo)


def _bumped(repo: Path) -> None:
    git(repo / "module", "commit", "-q", "--allow-empty", "-m", "on")


def _a_file(repo: Path) -> None:
    shutil.rmtree(repo / "module")
    (repo / "module").write_text("a file now\n")


def _beyond_a_link(repo: Path) -> None:
    git(repo, "mv", "module", "x/module")
    git(repo, "commit", "-qm", "moved")
    shutil.rmtree(repo / "x")
    (repo / "x").symlink_to("sub")


@pytest.mark.parametrize("change", [_bumped, _a_file, _beyond_a_link])
def test_what_became_of_a_submodule_travels(
    repo: Path, far: Far, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    with_submodule(repo, tmp_path)
    (repo / "x").mkdir()
    change(repo)
    made = far.sent(repo)
    copy = tmp_path / "index"
    shutil.copy(repo / ".git/index", copy)
    there = far.received(made)
    git(repo, "add", "-A")  # as git would have it itself
    assert made.tree == git(repo, "write-tree") and git(there, "status", "--porcelain") == ""
    shutil.copy(copy, repo / ".git/index")


def test_files_in_the_folder_of_a_submodule_that_is_none_any_more_are_not_lost(
    repo: Path, far: Far, tmp_path: Path
) -> None:
    with_submodule(repo, tmp_path)
    (repo / "module/.git").unlink()
    with pytest.raises(RelayError, match="files in the folder of a submodule") as refused:
        far.sent(repo)
    assert "module" in refused.value.why


@pytest.mark.parametrize("at", ["nested", "module", "plain"])
def test_a_pipe_in_a_repository_inside_is_refused_at_once(repo: Path, far: Far, tmp_path: Path, at: str) -> None:
    head = repo / at / ".git/HEAD"
    if at == "module":
        with_submodule(repo, tmp_path)
        head = repo / ".git/modules/module/HEAD"
    else:
        repository(repo / at)
    if at == "plain":
        shutil.rmtree(repo / ".git")
    head.unlink()
    os.mkfifo(head)
    with pytest.raises(RelayError) as refused:
        far.sent(repo)
    assert refused.value.code is Code.BAD_TREE and "HEAD is a pipe" in refused.value.why


def test_a_pipe_in_a_repository_that_the_task_left_costs_nothing_else(repo: Path, far: Far) -> None:
    there = far.received(far.sent(repo))
    (there / "a").write_text("by the task\n")
    head = repository(there / "nested") / ".git/HEAD"
    head.unlink()
    os.mkfifo(head)
    brought = far.brought()
    assert "HEAD is a pipe" in brought.notes[0] and "nested/b" in brought.diffstat
    assert ".git-unsound" in brought.notes[0] and ".git-unsound" not in brought.diffstat


def test_an_included_pipe_is_not_waited_for(repo: Path, far: Far, tmp_path: Path) -> None:
    made = far.sent(repo)
    there = far.received(made)
    (tmp_path / "more").write_text("[Include]\n path = pi\\\npe # the pipe\n")
    for config in (there / ".git/config", repo / ".git/config"):
        with config.open("a") as file:
            file.write(f'[includeIf "gitdir:/"] path = "{tmp_path}/more" ; so\n')
    assert far.sent(repo).tree == made.tree  # what is not there is not read
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RelayError, match="git cannot be run here") as refused:
        far.sent(repo)
    assert f"{tmp_path}/pipe is a pipe" in refused.value.why
    (there / "a").write_text("by the task\n")
    assert "a " in far.brought().diffstat


def test_a_link_in_the_place_of_the_tree_brings_nothing_of_elsewhere(repo: Path, far: Far, tmp_path: Path) -> None:
    there = far.received(far.sent(repo))
    shutil.rmtree(there)
    there.symlink_to(repository(tmp_path / "elsewhere"))
    brought = far.brought()
    assert brought.tip == brought.base and "was removed meanwhile" in brought.notes[0]
    assert not far.place.is_whole and listing(tmp_path / "elsewhere")

"""A pipe, a device, a folder or a loop where git reads a file: refused at once, or passed by, and never waited for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from relay.core.errors import Code, LocalFault, Misuse, RelayError
from relay.core.workplaces import Workplace
from relay.git.pulling import pull
from relay.git.returning import Returned, paths
from tests.trees.ground import Far, git, listing, repository

pytestmark = pytest.mark.timeout(30)
PARTS = (
    "HEAD", "config", "index", "packed-refs", "shallow", "commondir", "refs/heads/main", "refs/heads/x/y", "logs/HEAD",
    "info/exclude", "objects/info/alternates", "objects/aa/" + "b" * 38,
)  # fmt: skip
READ = (".gitignore", ".gitattributes", "sub/.gitignore", "sub/.gitattributes", ".relayinclude", "a")


def _cleared(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.unlink()
    return path


def _pipe(path: Path) -> None:
    os.mkfifo(_cleared(path))


def _device(path: Path) -> None:
    _cleared(path).symlink_to("/dev/zero")


def _loop(path: Path) -> None:
    _cleared(path).symlink_to(path.name)


def _folder(path: Path) -> None:
    _cleared(path).mkdir()


def _changed(repo: Path, far: Far) -> Returned:
    """A change that comes back."""
    made = far.sent(repo)
    (far.received(made) / "b").write_text("by the task\n")
    return far.returned(made)


def _all_refuse(repo: Path, far: Far, back: Returned) -> list[RelayError]:
    """What sending, showing and pulling say."""
    said = []
    for each in (
        lambda: far.sent(repo),
        lambda: paths(back, repo, far.scratch()),
        lambda: pull(back, repo, far.near, far.scratch(), None),
    ):
        with pytest.raises(RelayError) as refused:
            each()
        said.append(refused.value)
    return said


def test_a_repository_with_a_pipe_in_it_is_refused_at_once(repo: Path, far: Far, tmp_path: Path) -> None:
    back = _changed(repo, far)
    shutil.copytree(repo, tmp_path / "sound")
    for part in PARTS:
        _pipe(repo / ".git" / part)
        for fault in _all_refuse(repo / "sub", far, back):
            assert fault.code is Code.BAD_TREE and f"{repo}/.git/{part} is a pipe" in fault.why
        _restored(repo, tmp_path / "sound")


def _restored(repo: Path, sound: Path) -> None:
    shutil.rmtree(repo)
    shutil.copytree(sound, repo)


@pytest.mark.parametrize(("spoil", "word"), [(_device, "is a device"), (_loop, "symbolic links")])
def test_so_is_one_with_a_device_or_a_loop(
    repo: Path, far: Far, tmp_path: Path, spoil: Callable[[Path], None], word: str
) -> None:
    back = _changed(repo, far)
    shutil.copytree(repo, tmp_path / "sound")
    for part in ("HEAD", "config", "index"):
        spoil(repo / ".git" / part)
        for fault in _all_refuse(repo, far, back):
            assert fault.code is Code.BAD_TREE and word in fault.why and f".git/{part}" in fault.why
        _restored(repo, tmp_path / "sound")


@pytest.mark.parametrize("part", ["HEAD", "config", "index", "packed-refs", "objects/info/alternates"])
def test_a_folder_there_is_a_fault_in_words(repo: Path, far: Far, part: str) -> None:
    _folder(repo / ".git" / part)
    try:
        far.sent(repo)
    except RelayError as fault:
        assert fault.code in (Code.BAD_TREE, Code.GIT_FAILED) and fault.why and fault.hint
    else:
        assert part.startswith("objects"), "git reads what it can"


def test_a_worktree_is_looked_at_where_its_repository_is(repo: Path, far: Far, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", str(tmp_path / "other"))
    assert far.sent(tmp_path / "other").kind == "git"
    _pipe(repo / ".git/packed-refs")
    with pytest.raises(Misuse, match="git cannot be run here"):
        far.sent(tmp_path / "other")


def test_what_the_repository_borrows_or_names_is_looked_at(repo: Path, far: Far, tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    (repo / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    assert far.sent(repo).kind == "git"
    os.mkfifo(pipe := tmp_path / "pipe")
    git(repo, "config", "core.excludesFile", str(pipe))
    with pytest.raises(Misuse, match="git cannot be run here"):
        far.sent(repo)
    git(repo, "config", "--unset", "core.excludesFile")
    _pipe(other / ".git/objects/info/alternates")
    with pytest.raises(Misuse, match="git cannot be run here"):
        far.sent(repo)


def test_no_plain_folder_is_made_of_a_broken_repository(repo: Path, far: Far, tmp_path: Path) -> None:
    (repo / ".git/HEAD").write_text("nonsense\n")
    with pytest.raises(Misuse, match="cannot be sent") as refused:
        far.sent(repo / "sub")
    assert f"though there is {repo}/.git" in refused.value.why
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a").write_text("a\n")
    (plain / ".git").mkdir()  # an empty one is nobody's
    assert far.sent(plain).kind == "folder"
    os.mkfifo(tmp_path / "HEAD")
    with pytest.raises(Misuse, match="git cannot be run here"):
        far.sent(plain)


@pytest.mark.parametrize("name", READ)
def test_a_pipe_in_the_place_of_a_file_is_refused_before_anything_is_sent(repo: Path, far: Far, name: str) -> None:
    back = _changed(repo, far)
    _pipe(repo / name)
    os.mkfifo(repo / "nobody-s")  # what git passes over is in nobody's way
    with pytest.raises(Misuse) as refused:
        far.sent(repo)
    assert refused.value.code is Code.BAD_TREE and name in refused.value.why and "nobody-s" not in refused.value.why
    assert pull(back, repo, far.near, far.scratch(), None).how == "worktree", "the branch has it"


@pytest.mark.parametrize("name", [*READ, "new"])
@pytest.mark.parametrize("kind", ["git", "folder"])
def test_what_the_task_did_beside_a_pipe_that_it_left_comes_back(repo: Path, far: Far, name: str, kind: str) -> None:
    if kind == "folder":
        shutil.rmtree(repo / ".git")
    made = far.sent(repo)
    there = far.received(made)
    (there / "b").write_text("by the task\n")
    _pipe(there / name)
    brought = far.brought()
    assert brought.bundle is not None and "b | 2 +-" in brought.diffstat
    is_told = any(name in note and "in the place of files" in note for note in brought.notes)
    assert is_told == (name not in ("new", ".relayinclude")), brought.notes


@pytest.mark.parametrize("part", ["HEAD", "index", "logs/HEAD", "objects/info/alternates"])
def test_a_pipe_in_the_task_s_own_repository_costs_its_history_alone(repo: Path, far: Far, part: str) -> None:
    made = far.sent(repo)
    there = far.received(made)
    (there / "b").write_text("committed\n")
    git(there, "commit", "-qam", "by the task")
    (there / "a").write_text("left\n")
    _pipe(there / ".git" / part)
    back = far.returned(made)
    assert pull(back, repo, far.near, far.scratch(), None).how == "fast-forward"
    assert listing(repo)["b"][1] == b"committed\n" and listing(repo)["a"][1] == b"left\n"


@pytest.mark.parametrize("name", ["repo/.git", "bare.git", "bare"])
def test_no_repository_with_a_pipe_is_fetched_from(repo: Path, far: Far, tmp_path: Path, name: str) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"))
    _pipe((repo / ".git" if name == "repo/.git" else tmp_path / "bare.git") / "packed-refs")
    with pytest.raises(LocalFault, match="could not be fetched") as refused:
        far.make(Workplace(repo=str(tmp_path / name.removesuffix("/.git"))))
    assert "packed-refs is a pipe" in refused.value.why

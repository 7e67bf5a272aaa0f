"""What came back is taken into the user's tree, never over the user's own work."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.core.errors import Misuse, RelayError
from relay.git import snapshot as snapshots
from relay.git.pulling import Pulled, pull
from relay.git.returning import Returned, show
from relay.git.snapshot import Snapshot
from tests.trees.ground import Far, git, listing, repository


def _works(far: Far, there: Path) -> None:
    """The task edits, removes, adds; some of it committed."""
    (there / "a").write_text("by the task\n")
    git(there, "commit", "-qam", "mine")
    (there / "new").write_bytes(b"\0binary\xff")
    (there / "sub/c").unlink()
    (there / "run").write_text("#!/bin/sh\n")
    (there / "run").chmod(0o755)
    (there / "link").symlink_to("run")


def _pull(far: Far, back: Returned, folder: Path, beside: Path | None = None) -> Pulled:
    return pull(back, folder, far.near, far.scratch(), beside)


def _done(far: Far, repo: Path) -> tuple[Snapshot, Returned, dict[str, tuple[str, bytes]]]:
    made = far.sent(repo)
    there = far.received(made)
    _works(far, there)
    return made, far.returned(made), listing(there)


def test_a_clean_tree_is_moved_forward(repo: Path, far: Far) -> None:
    _, back, expected = _done(far, repo)
    pulled = _pull(far, back, repo / "sub")
    assert (pulled.how, pulled.branch, pulled.path) == ("fast-forward", "relay/task", repo)
    assert listing(repo) == expected and git(repo, "status", "--porcelain") == ""
    assert git(repo, "rev-parse", "main") == git(repo, "rev-parse", "relay/task") == pulled.tip
    assert git(repo, "log", "--format=%an", "-1", "main~1") == "Ann"
    assert _pull(far, back, repo).how == "already"


def test_uncommitted_work_stays_uncommitted_and_the_change_is_laid_on_it(repo: Path, far: Far) -> None:
    (repo / "b").write_text("staged\n")
    git(repo, "add", "b")
    (repo / "b").write_text("staged, and more\n")
    (repo / "mine").write_text("untracked\n")
    (repo / ".env").write_text("SECRET")
    _, back, expected = _done(far, repo)
    pulled = _pull(far, back, repo)
    assert pulled.how == "applied"
    assert listing(repo) == expected | {".env": ("file", b"SECRET")}
    assert git(repo, "show", ":b") == "staged" and git(repo, "rev-list", "--count", "main") == "1"
    assert git(repo, "ls-files", "new", "mine") == "", "the index stays as it was"
    assert _pull(far, back, repo).how == "already"


def test_what_was_pulled_once_is_pulled_further(repo: Path, far: Far) -> None:
    (repo / "b").write_text("dirty\n")
    made, back, _ = _done(far, repo)
    _pull(far, back, repo)
    (far.place.tree / "second").write_text("round\n")
    assert _pull(far, far.returned(made), repo).how == "applied"
    assert listing(repo) == listing(far.place.tree)


@pytest.mark.parametrize("where", ["b", "elsewhere"])
def test_a_tree_that_has_changed_is_left_alone(repo: Path, far: Far, where: str) -> None:
    _, back, expected = _done(far, repo)
    (repo / where).write_text("my own work since\n")
    before = listing(repo)
    pulled = _pull(far, back, repo)
    assert (pulled.how, pulled.why) == ("worktree", "your tree has changed since")
    assert pulled.path == repo.parent / "repo-relay-task" and listing(pulled.path) == expected
    assert listing(repo) == before and git(repo, "rev-list", "--count", "main") == "1"
    (far.place.tree / "more").write_text("x")


def test_a_branch_that_has_moved_is_left_alone(repo: Path, far: Far) -> None:
    made, back, expected = _done(far, repo)
    git(repo, "commit", "-q", "--allow-empty", "-m", "mine, meanwhile")
    pulled = _pull(far, back, repo, repo.parent / "there")
    assert (pulled.how, pulled.why, pulled.path) == ("worktree", "your branch has moved since", repo.parent / "there")
    assert listing(pulled.path) == expected
    (far.place.tree / "second").write_text("round\n")
    again = _pull(far, far.returned(made), repo)
    assert (again.how, again.path) == ("fast-forward", pulled.path) and (pulled.path / "second").exists()
    (far.place.tree / "third").write_text("round\n")
    (pulled.path / "a").write_text("edited in the worktree\n")
    with pytest.raises(Misuse) as refused:
        _pull(far, far.returned(made), repo)
    assert "has changes of its own" in refused.value.why


def test_an_ignored_file_in_the_way_is_not_written_over(repo: Path, far: Far) -> None:
    (repo / ".gitignore").write_text("new\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-qm", "ignoring")
    made = far.sent(repo)
    there = far.received(made)
    (there / "new").write_text("by the task\n")
    git(there, "add", "-f", "new")
    git(there, "commit", "-qm", "added though it is ignored")
    (repo / "new").write_text("precious\n")
    pulled = _pull(far, far.returned(made), repo)
    assert pulled.how == "worktree" and (repo / "new").read_text() == "precious\n"
    (repo / "b").write_text("dirty")
    again = Far(far.root / "again")
    made = again.sent(repo)
    there = again.received(made, "other")
    (there / "new").write_text("by the task\n")
    git(there, "add", "-f", "new")
    pulled = _pull(again, again.returned(made, "other"), repo)
    assert pulled.how == "worktree" and "new" in pulled.why and (repo / "new").read_text() == "precious\n"


def test_a_branch_of_that_name_with_other_work_is_left_alone(repo: Path, far: Far) -> None:
    git(repo, "branch", "relay/task")
    git(repo, "checkout", "-q", "relay/task")
    git(repo, "commit", "-q", "--allow-empty", "-m", "other work")
    git(repo, "checkout", "-q", "main")
    other = git(repo, "rev-parse", "relay/task")
    _, back, _ = _done(far, repo)
    pulled = _pull(far, back, repo)
    assert pulled.branch == f"relay/task-{back.id[:8]}" and git(repo, "rev-parse", "relay/task") == other
    assert pulled.how == "fast-forward"


@pytest.mark.parametrize("other", ["relay", "relay/task/more"])
def test_a_branch_that_git_can_have_no_other_beside_is_left_alone(repo: Path, far: Far, other: str) -> None:
    git(repo, "checkout", "-qb", other)
    _, back, expected = _done(far, repo)
    pulled = _pull(far, back, repo)
    assert pulled.branch == ("relay-task" if other == "relay" else f"relay/task-{back.id[:8]}")
    assert pulled.how == "fast-forward" and listing(repo) == expected
    assert _pull(far, back, repo) == Pulled("already", repo, pulled.branch, pulled.tip)


@pytest.mark.parametrize("name", ["two\nlines", "two\u2028lines", "end\n"])
def test_a_worktree_is_found_again_whatever_the_folder_is_called(tmp_path: Path, far: Far, name: str) -> None:
    repo = repository(tmp_path / name / name)
    _, back, _ = _done(far, repo)
    (repo / "a").write_text("mine\n")
    pulled = _pull(far, back, repo)
    assert pulled.how == "worktree" and pulled.path.parent == repo.parent
    assert (_pull(far, back, repo).how, _pull(far, back, repo).path) == ("already", pulled.path)


def test_a_cut_off_history_gets_the_commits_on_its_true_end(
    repo: Path, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MAX_HISTORY", 10)
    head = git(repo, "rev-parse", "HEAD")
    made, back, expected = _done(far, repo)
    assert made.commit != head
    pulled = _pull(far, back, repo)
    assert pulled.how == "fast-forward" and listing(repo) == expected
    assert git(repo, "rev-parse", "main~2") == head
    assert git(repo, "log", "-1", "--format=%an <%ae> %s", "main~1") == "Ann <ann@example.org> mine"


def test_a_tree_without_a_commit(tmp_path: Path, far: Far) -> None:
    repo = repository(tmp_path / "unborn", commit=False)
    _, back, expected = _done(far, repo)
    pulled = _pull(far, back, repo)
    assert pulled.how == "applied" and listing(repo) == expected
    assert git(repo, "rev-parse", "-q", "--verify", "HEAD", check=False) == ""


def test_another_repository_is_refused_and_nothing_is_in_it(repo: Path, tmp_path: Path, far: Far) -> None:
    made, back, _ = _done(far, repo)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    (other / "a").write_text("of its own\n")
    git(other, "add", ".")
    git(other, "commit", "-qm", "another history")
    back = Returned(**{name: getattr(back, name) for name in Returned.__match_args__} | {"sent": None})
    with pytest.raises(Misuse, match="what task began from is not here") as refused:
        _pull(far, back, other)
    assert "the tree that it was sent from" in refused.value.hint
    assert git(other, "for-each-ref", "refs/relay", "refs/heads/relay") == ""
    (tmp_path / "plain").mkdir()
    with pytest.raises(Misuse, match="cannot be pulled here"):
        _pull(far, back, tmp_path / "plain")
    assert made.kind == "git"


def test_no_hook_of_the_user_runs(repo: Path, far: Far, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    _, back, _ = _done(far, repo)
    for name in ("post-merge", "post-checkout", "reference-transaction", "pre-merge-commit", "post-rewrite"):
        (repo / ".git/hooks").mkdir(exist_ok=True)
        (repo / ".git/hooks" / name).write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
        (repo / ".git/hooks" / name).chmod(0o755)
    _pull(far, back, repo)
    assert not ran.exists()


def test_a_change_is_shown_with_the_tree_at_hand_or_from_what_was_sent(repo: Path, tmp_path: Path, far: Far) -> None:
    _, back, _ = _done(far, repo)
    for folder in (repo, tmp_path):
        with (tmp_path / "diff").open("wb") as file:
            show(back, folder, far.scratch(), stat=False, colour=False, to=file)
        text = (tmp_path / "diff").read_text(errors="replace")
        assert "+by the task" in text and "deleted file mode 100644" in text and "new file mode 100755" in text


# plain folders


def _plain(tmp_path: Path) -> Path:
    plain = tmp_path / "plain"
    (plain / "sub").mkdir(parents=True)
    (plain / "f").write_bytes(b"f\r\n")
    (plain / "sub/g").write_text("g")
    return plain


def test_a_plain_folder_is_changed_where_it_is_as_it_was(tmp_path: Path, far: Far) -> None:
    plain = _plain(tmp_path)
    made = far.sent(plain)
    there = far.received(made)
    (there / "f").write_bytes(b"changed\r\n")
    (there / "sub/g").unlink()
    back = far.returned(made)
    assert _pull(far, back, plain).how == "applied"
    assert listing(plain) == listing(there) and not (plain / ".git").exists()
    assert _pull(far, back, plain).how == "already"
    (there / "h").write_text("second round")
    assert _pull(far, far.returned(made), plain).how == "applied" and listing(plain) == listing(there)


def test_a_plain_folder_that_has_changed_gets_one_beside(tmp_path: Path, far: Far) -> None:
    plain = _plain(tmp_path)
    made = far.sent(plain)
    there = far.received(made)
    (there / "f").write_text("changed")
    (plain / "mine").write_text("since")
    before = listing(plain)
    pulled = _pull(far, far.returned(made), plain)
    assert pulled.how == "folder" and listing(pulled.path) == listing(there) and listing(plain) == before
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(Misuse, match="cannot be pulled here"):
        _pull(far, far.returned(made), plain, taken)


# what came is no good


def test_a_change_that_is_not_what_was_told_is_refused(repo: Path, far: Far) -> None:
    _, back, _ = _done(far, repo)
    fields = {name: getattr(back, name) for name in Returned.__match_args__}
    junk = far.scratch() / "junk"
    junk.write_bytes(b"# v2 git bundle\n" + b"0" * 40 + b" refs/relay/tip\n\nPACKjunk")
    for other in ({"tip": back.base}, {"change": junk}):
        with pytest.raises(RelayError, match="was refused"):
            _pull(far, Returned(**fields | other), repo)
        assert git(repo, "branch", "--list", "relay/*") == ""
    assert subprocess.run(["git", "fsck"], cwd=repo, capture_output=True, check=False).returncode == 0


def test_who_made_a_commit_is_kept_as_it_was_where_it_is_put_onto_the_true_history(
    tmp_path: Path, repo: Path, far: Far
) -> None:
    """Git itself makes no commit of nobody, or in another encoding, from what it is told in words."""
    (repo / "a").write_text("two\n")
    git(repo, "commit", "-qam", "two")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repo}", "shallow")
    made = far.sent(tmp_path / "shallow")
    there = far.received(made)
    nobody, before = b"author  <> 1700000000 +0545\ncommitter C\xe4sar <> 1700000001 -0330\nencoding latin1\n", "HEAD"
    for message in (b"caf\xe9\n\n\nand blank lines\n\n", b"\n", b"no end of line"):
        (there / "a").write_bytes(message)
        git(there, "add", "a")
        lines = f"tree {git(there, 'write-tree')}\nparent {git(there, 'rev-parse', before)}\n".encode()
        words = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
        signed = nobody + b"gpgsig -----BEGIN\n \n of another commit\n"
        done = subprocess.run(words, input=lines + signed + b"\n" + message, cwd=there, capture_output=True, check=True)
        git(there, "reset", "-q", "--hard", done.stdout.decode().strip())
    back = far.returned(made)
    pulled = _pull(far, back, tmp_path / "shallow")
    assert pulled.how == "fast-forward"
    raw = subprocess.run(
        ["git", "cat-file", "commit", "HEAD~2"], cwd=tmp_path / "shallow", capture_output=True, check=True
    ).stdout
    assert raw.endswith(nobody + b"\ncaf\xe9\n\n\nand blank lines\n\n")
    assert git(tmp_path / "shallow", "rev-list", "--count", "HEAD") == "4"


def test_two_pulls_at_once_are_one_after_the_other(repo: Path, far: Far) -> None:
    made = far.sent(repo)
    _works(far, far.received(made))
    back, places = far.returned(made), [far.scratch(), far.scratch()]
    with ThreadPoolExecutor(2) as pool:
        hows = pool.map(lambda into: pull(back, repo, far.near, into, None).how, places)
        assert sorted(hows) == ["already", "fast-forward"]


@pytest.mark.parametrize("who", ["<> 1700000000 +0000", "<a@b> 1700000000 +0000", "Ann<a@b <c>> 01700000000 +051800"])
@pytest.mark.parametrize("is_shallow", [True, False])
def test_commits_of_old_or_odd_programs_go_there_and_back_as_they_are(
    repo: Path, far: Far, tmp_path: Path, who: str, is_shallow: bool
) -> None:
    _odd_commit(repo, who)
    top = tmp_path / "clone" if is_shallow else repo
    if is_shallow:
        git(repo, "commit", "-q", "--allow-empty", "-m", "two")
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repo}", str(top))
    made = far.sent(top)
    odd = _odd_commit(far.received(made), who)
    assert pull(far.returned(made), top, far.near, far.scratch(), None).how == "fast-forward"
    assert git(top, "cat-file", "commit", "HEAD").partition("\nauthor")[2] == odd.partition("\nauthor")[2]


def _odd_commit(repo: Path, who: str) -> str:
    """Commit something as git itself would not; what stands in it."""
    (repo / "a").write_text(f"{time.monotonic_ns()}\n")
    git(repo, "add", "a")
    lines = [f"tree {git(repo, 'write-tree')}", f"parent {git(repo, 'rev-parse', 'HEAD')}", f"author {who}"]
    (repo / ".git/odd").write_text("\n".join([*lines, f"committer {who}", "", "odd", ""]))
    made = git(repo, "hash-object", "-t", "commit", "-w", "--literally", ".git/odd")
    git(repo, "update-ref", "HEAD", made)
    return git(repo, "cat-file", "commit", made)

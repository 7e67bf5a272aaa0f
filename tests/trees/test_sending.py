"""A working tree as it is: the same tree on the other side, or a refusal before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.core.errors import Misuse
from relay.git import snapshot as snapshots
from relay.git.snapshot import told
from tests.trees.ground import KEY, Far, fingerprint, git, listing, repository, with_submodule


def _staged(repo: Path) -> None:
    (repo / "a").write_text("staged\n")
    git(repo, "add", "a")


def _unstaged(repo: Path) -> None:
    (repo / "a").write_text("unstaged\n")


def _both(repo: Path) -> None:
    _staged(repo)
    (repo / "a").write_text("staged, then not\n")


def _untracked(repo: Path) -> None:
    (repo / "new folder").mkdir()
    (repo / "new folder/ün\nusual").write_text("x")


def _deleted(repo: Path) -> None:
    (repo / "a").unlink()
    git(repo, "rm", "-q", "b")


def _renamed(repo: Path) -> None:
    git(repo, "mv", "a", "moved")
    os.rename(repo / "b", repo / "moved too")


def _executable(repo: Path) -> None:
    (repo / "a").chmod(0o755)


def _linked(repo: Path) -> None:
    (repo / "link").symlink_to("a")
    (repo / "dangling").symlink_to("/nowhere/at/all")
    (repo / "folder").symlink_to("sub")


def _binary(repo: Path) -> None:
    (repo / "blob").write_bytes(bytes(range(256)) * 64)


def _turned(repo: Path) -> None:
    """A file where a folder was, and the other way round."""
    (repo / "sub/c").unlink()
    (repo / "sub").rmdir()
    (repo / "sub").write_text("a file now")
    (repo / "a").unlink()
    (repo / "a").mkdir()
    (repo / "a/deep").write_text("x")


def _intended(repo: Path) -> None:
    (repo / "later").write_text("to be added\n")
    git(repo, "add", "--intent-to-add", "later")


def _hidden(repo: Path) -> None:
    git(repo, "update-index", "--skip-worktree", "a")
    git(repo, "update-index", "--assume-unchanged", "b")
    (repo / "a").write_text("edited behind git's back\n")
    (repo / "b").write_text("this too\n")


def _line_ends(repo: Path) -> None:
    (repo / "dos").write_bytes(b"one\r\ntwo\r\n")


def _clean(repo: Path) -> None:
    """As it was committed."""


def _detached(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    _unstaged(repo)


KINDS: list[Callable[[Path], None]] = [
    _staged, _unstaged, _both, _untracked, _deleted, _renamed, _executable, _linked, _binary, _turned, _intended,
    _hidden, _line_ends, _clean, _detached,
]  # fmt: skip


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__.strip("_"))
def test_the_tree_is_the_same_on_the_other_side(repo: Path, far: Far, make: Callable[[Path], None]) -> None:
    make(repo)
    before, here = fingerprint(repo), listing(repo)
    made = far.sent(repo)
    there = far.received(made)
    assert listing(there) == here
    assert git(there, "rev-parse", "HEAD^{tree}") == made.tree
    assert git(there, "status", "--porcelain") == ""
    assert fingerprint(repo) == before, "the user's index, hooks, configuration and refs are untouched"
    ours = git(repo, "for-each-ref", "refs/relay", "--format=%(refname)").splitlines()
    assert ours == [f"refs/relay/{KEY}/sent", f"refs/relay/{KEY}/tree"]


def test_staged_and_unstaged_stay_apart(repo: Path, far: Far) -> None:
    _both(repo)
    there = far.received(far.sent(repo))
    assert git(there, "show", "HEAD:a") == "staged, then not"
    assert git(there, "show", "HEAD~1:a") == "staged"
    assert git(there, "rev-parse", "HEAD~2") == git(repo, "rev-parse", "HEAD")


def test_nothing_committed_yet(tmp_path: Path, far: Far) -> None:
    repo = repository(tmp_path / "unborn", commit=False)
    git(repo, "add", "a")
    (repo / "a").write_text("changed after\n")
    there = far.received(far.sent(repo))
    assert listing(there) == listing(repo)
    assert git(repo, "rev-parse", "-q", "--verify", "HEAD", check=False) == ""


def test_a_history_that_was_cut_off_stays_here(repo: Path, tmp_path: Path, far: Far) -> None:
    (repo / "a").write_text("two\n")
    git(repo, "commit", "-qam", "two")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repo}", "shallow")
    shallow = tmp_path / "shallow"
    _unstaged(shallow)
    made = far.sent(shallow)
    there = far.received(made)
    assert listing(there) == listing(shallow)
    assert git(there, "rev-list", "--count", "HEAD") == "1" and made.base != made.commit
    assert "its history does not go along" in " ".join(told(made))


def test_a_long_history_stays_here_too(repo: Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_HISTORY", 10)
    made = far.sent(repo)
    assert git(far.received(made), "rev-list", "--count", "HEAD") == "1"


def test_pointers_of_large_files_travel_as_the_pointers_they_are(repo: Path, far: Far) -> None:
    (repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5\n"
    (repo / "big.bin").write_text(pointer)
    assert listing(far.received(far.sent(repo)))["big.bin"] == ("file", pointer.encode())


def test_a_submodule_without_changes_is_named_and_empty_there(repo: Path, tmp_path: Path, far: Far) -> None:
    with_submodule(repo, tmp_path)
    made = far.sent(repo)
    there = far.received(made)
    assert git(there, "rev-parse", "HEAD^{tree}") == made.tree
    assert list((there / "module").iterdir()) == []
    assert "submodules are empty folders there: module" in told(made)


def test_the_folder_in_the_tree_is_kept(repo: Path, far: Far) -> None:
    assert far.sent(repo / "sub").sub == "sub"
    assert far.sent(repo).sub == ""


def test_a_person_in_a_hook_of_another_repository_sends_this_one(
    repo: Path, tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    _untracked(repo)
    assert listing(far.received(far.sent(repo))) == listing(repo)
    assert git(other, "for-each-ref", "refs/relay") == ""


def test_no_hook_and_no_monitor_of_the_user_runs(repo: Path, tmp_path: Path, far: Far) -> None:
    ran = tmp_path / "ran"
    for name in ("post-index-change", "reference-transaction", "pre-commit", "post-commit", "post-checkout"):
        hook = repo / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
        hook.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(repo / ".git/hooks/pre-commit"))
    _unstaged(repo)
    far.received(far.sent(repo))
    assert not ran.exists()


# what is kept back


def test_what_may_be_a_secret_is_withheld_and_named(repo: Path, far: Far) -> None:
    for name in (".env", "server.pem", "sub/.env.local", "id_ed25519"):
        (repo / name).write_text("SECRET")
    (repo / ".env.example").write_text("NAME=")
    git(repo, "add", ".env")
    made = far.sent(repo)
    assert made.withheld == [".env", "id_ed25519", "server.pem", "sub/.env.local"]
    assert any("withheld" in each and ".env" in each for each in told(made))
    there = far.received(made)
    assert ".env.example" in listing(there) and ".env" not in listing(there)
    assert b"SECRET" not in b"".join(content for _, content in listing(there).values())
    objects = git(there, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines()
    blobs = [line.split()[0] for line in objects if line.endswith("blob")]
    assert all("SECRET" not in git(there, "cat-file", "blob", each) for each in blobs), "nor in any object that went"


def test_of_a_committed_secret_the_committed_one_goes(repo: Path, far: Far) -> None:
    (repo / ".env").write_text("old\n")
    git(repo, "add", "-f", ".env")
    git(repo, "commit", "-qm", "a mistake of long ago")
    (repo / ".env").write_text("new\n")
    made = far.sent(repo)
    assert made.withheld == [".env"]
    assert listing(far.received(made))[".env"] == ("file", b"old\n")


def test_ignored_files_go_only_where_they_are_named(repo: Path, far: Far) -> None:
    (repo / ".gitignore").write_text("out/\n*.log\n")
    (repo / "out/deep").mkdir(parents=True)
    for name in ("out/a", "out/deep/b", "x.log", "y.log", "out/key.pem"):
        (repo / name).write_text(name)
    assert not {"out/a", "x.log"} & listing(far.received(far.sent(repo))).keys()
    (repo / ".relayinclude").write_text("# what the task needs\nout/\n/x.log\n")
    with pytest.raises(Misuse) as refused:
        far.sent(repo)
    assert "/x.log" in refused.value.why
    (repo / ".relayinclude").write_text("# what the task needs\nout/\nx.log\n")
    again = Far(far.root / "again")
    made = again.sent(repo)
    found = listing(again.received(made)).keys()
    assert {"out/a", "out/deep/b", "x.log"} <= found and not {"y.log", "out/key.pem"} & found
    assert made.withheld == ["out/key.pem"]


# a plain folder


def test_a_plain_folder_arrives_byte_by_byte_and_stays_plain(tmp_path: Path, far: Far) -> None:
    plain = tmp_path / "plain"
    (plain / "deep").mkdir(parents=True)
    (plain / ".gitattributes").write_text("* text=auto eol=lf ident filter=x\n")
    (plain / "dos").write_bytes(b"one\r\ntwo $Id$\r\n")
    (plain / "deep/run").write_text("#!/bin/sh\n")
    (plain / "deep/run").chmod(0o755)
    (plain / "deep/up").symlink_to("../dos")
    (plain / ".env").write_text("SECRET")
    made = far.sent(plain)
    assert (made.kind, made.withheld) == ("folder", [".env"])
    there = far.received(made)
    assert listing(there) == {path: each for path, each in listing(plain).items() if path != ".env"}
    assert not (there / ".git").exists() and not (plain / ".git").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "deep/../../outside"])
def test_a_link_out_of_a_plain_folder_is_refused(tmp_path: Path, far: Far, target: str) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "link").symlink_to(target)
    with pytest.raises(Misuse, match="links lead out of this folder"):
        far.sent(plain)

"""What comes from another machine and is no good is refused before anything of it is laid out, and leaves nothing."""

from __future__ import annotations

import subprocess
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha1
from pathlib import Path

import pytest

from relay.core.errors import Code, LocalFault, RelayError
from relay.core.workplaces import Workplace
from relay.git import command
from relay.git import tree as trees
from relay.git.command import Failed, Git, Leash, Stopped
from relay.git.snapshot import Snapshot
from relay.testing import processes
from tests.trees.ground import KEY, Far, git, repository


def _object(repo: Path, kind: str, content: bytes) -> str:
    """Write an object as it is, which git itself would not make."""
    whole = f"{kind} {len(content)}\0".encode() + content
    name = sha1(whole).hexdigest()
    path = repo / ".git/objects" / name[:2] / name[2:]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(zlib.compress(whole))
    return name


def _tree(repo: Path, *entries: tuple[str, str, str]) -> str:
    return _object(
        repo, "tree", b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(each) for mode, name, each in entries)
    )


def _bundled(repo: Path, far: Far, tree: str, kind: str = "git") -> Snapshot:
    commit = git(repo, "commit-tree", "-m", "hostile", tree)
    ref, bundle = f"refs/relay/{KEY}/sent", far.scratch() / "bundle"
    git(repo, "update-ref", ref, commit)
    git(repo, "bundle", "create", "-q", str(bundle), ref)
    return Snapshot(KEY, kind, commit, tree, commit, "", bundle, bundle.stat().st_size, [], [])


def _refused(far: Far, made: Snapshot) -> RelayError:
    with pytest.raises(RelayError) as refused:
        far.received(made)
    assert not far.place.is_whole and not list(far.place.root.glob("*")), "nothing of it is left"
    return refused.value


@pytest.mark.parametrize("name", ["..", ".git", ".GIT", "git~1", ".git\u200c", "."])
def test_a_name_that_leads_out_or_into_git_is_refused(repo: Path, far: Far, name: str) -> None:
    blob = _object(repo, "blob", b"[core]\nfsmonitor = /tmp/evil\n")
    inner = _tree(repo, ("100644", "config", blob))
    error = _refused(far, _bundled(repo, far, _tree(repo, ("40000", name, inner))))
    assert error.code in (Code.BAD_BLOB, Code.GIT_FAILED)


def test_a_name_with_a_slash_is_refused(repo: Path, far: Far) -> None:
    blob = _object(repo, "blob", b"x")
    _refused(far, _bundled(repo, far, _tree(repo, ("100644", "../../evil", blob))))


def test_a_link_and_a_folder_of_one_name_write_nothing_outside(repo: Path, far: Far, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = _object(repo, "blob", str(outside).encode())
    inner = _tree(repo, ("100644", "evil", _object(repo, "blob", b"x")))
    _refused(far, _bundled(repo, far, _tree(repo, ("120000", "d", link), ("40000", "d", inner))))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("target", ["/etc", "../..", "a/../../x"])
def test_a_link_out_of_a_plain_folder_is_refused_there_too(repo: Path, far: Far, target: str) -> None:
    tree = _tree(repo, ("120000", "link", _object(repo, "blob", target.encode())))
    assert "links lead out" in _refused(far, _bundled(repo, far, tree, "folder")).message


def _junk(made: Snapshot) -> Snapshot:
    made.bundle.write_bytes(b"no bundle at all")
    return made


def _cut(made: Snapshot) -> Snapshot:
    made.bundle.write_bytes(made.bundle.read_bytes()[:-30])
    return made


def _other_tree(made: Snapshot) -> Snapshot:
    return replace(made, tree="1" * 40)


def _other_commit(made: Snapshot) -> Snapshot:
    return replace(made, commit="1" * 40)


def _other_key(made: Snapshot) -> Snapshot:
    return replace(made, key="another1234")


@pytest.mark.parametrize("change", [_junk, _cut, _other_tree, _other_commit, _other_key])
def test_what_is_not_what_was_told_is_refused(
    repo: Path, far: Far, change: Callable[[Snapshot], Snapshot]
) -> None:
    assert _refused(far, change(far.sent(repo))).code is Code.BAD_BLOB


def test_a_tree_that_is_small_only_as_long_as_it_is_packed_is_refused(
    repo: Path, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo / "zeros").write_bytes(bytes(1 << 20))
    made = far.sent(repo)
    assert made.size < 10_000
    monkeypatch.setattr(trees, "MAX_LAID_OUT", 1 << 20)
    assert "too big" in _refused(far, made).message
    with pytest.raises(RelayError, match="too big to send"):
        far.sent(repo)


def test_a_bundle_that_needs_more_is_refused(repo: Path, far: Far) -> None:
    first = git(repo, "rev-parse", "HEAD")
    (repo / "a").write_text("two\n")
    git(repo, "commit", "-qam", "two")
    made = far.sent(repo)
    git(repo, "bundle", "create", "-q", str(made.bundle), f"refs/relay/{KEY}/sent", f"^{first}")
    assert "prerequisite" in _refused(far, made).why


def test_an_attribute_or_a_submodule_of_the_sender_runs_nothing(repo: Path, far: Far, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (repo / ".gitattributes").write_text("* filter=x\n")
    (repo / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = ext::sh -c "touch {ran}"\n')
    (repo / ".gitconfig").write_text(f"[core]\n\tfsmonitor = touch {ran}\n")
    far.received(far.sent(repo))
    assert not ran.exists()


# repositories


def _fetched(far: Far, url: str, ref: str | None = None) -> Path:
    far.make(Workplace(repo=url, ref=ref))
    return far.place.tree


def test_a_repository_is_fetched_once_and_its_worktree_is_its_own(repo: Path, far: Far) -> None:
    there = _fetched(far, str(repo))
    assert git(there, "rev-parse", "HEAD") == git(repo, "rev-parse", "HEAD")
    assert git(there, "branch", "--show-current") == "relay/task"
    assert git(there, "remote", "get-url", "origin") == str(repo)
    git(there, "config", "core.hooksPath", "/tmp/evil")
    (repo / "a").write_text("two\n")
    git(repo, "commit", "-qam", "two")
    git(repo, "tag", "v1", "HEAD~1")
    for ref, expected in (("main", "main"), ("v1", "v1"), (git(repo, "rev-parse", "v1"), "v1"), (None, "main")):
        far.place = type(far.place)(far.place.root, "abcdefgh23456723")
        far.place.remove()
        there = _fetched(far, str(repo), ref)
        assert git(there, "rev-parse", "HEAD") == git(repo, "rev-parse", expected)
        assert git(there, "config", "--get", "core.hooksPath", check=False) == ""
    assert len(list((far.place.root / ".mirrors").iterdir())) == 1


def test_a_repository_that_is_not_there_says_so_in_git_s_words(far: Far, tmp_path: Path, repo: Path) -> None:
    with pytest.raises(LocalFault) as refused:
        _fetched(far, str(tmp_path / "nowhere"))
    assert refused.value.code is Code.PLACE_FAILED and "does not appear to be a git repository" in refused.value.why
    with pytest.raises(LocalFault) as refused:
        _fetched(far, str(repo), "no-such-branch")
    assert "no-such-branch" in refused.value.why
    with pytest.raises(LocalFault):
        _fetched(far, "https://127.0.0.1:1/x.git")
    assert not far.place.is_whole


def test_a_mirror_that_is_broken_is_made_anew(repo: Path, far: Far) -> None:
    _fetched(far, str(repo))
    mirror = next((far.place.root / ".mirrors").iterdir())
    (mirror / "HEAD").unlink()
    far.place.remove()
    assert git(_fetched(far, str(repo)), "rev-parse", "HEAD") == git(repo, "rev-parse", "HEAD")


def test_only_the_transport_that_is_meant_is_used(tmp_path: Path, far: Far, repo: Path) -> None:
    """A configuration that turns one URL into another does not bring in a transport that runs programs."""
    config = Path.home() / ".gitconfig"
    config.write_text(f'[url "ext::sh -c touch% {tmp_path}/ran;%S%"]\n\tinsteadOf = {repo}\n')
    with pytest.raises(LocalFault) as refused:
        _fetched(far, str(repo))
    assert "not allowed" in refused.value.why and not (tmp_path / "ran").exists()


# git itself


def test_without_git_it_is_said(repo: Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(LocalFault) as refused:
        far.sent(repo)
    assert refused.value.code is Code.NO_GIT and "install git" in refused.value.hint


def test_git_is_ended_when_its_time_is_over_or_it_is_stopped(repo: Path) -> None:
    slow = repo / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    waits = ("-c", f"alias.slow=!{slow}", "slow")
    with pytest.raises(Failed, match="took too long"):
        Git(repo).run(*waits, seconds=0.3)
    stop = Leash()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        Git(repo, stop=stop).run(*waits)

    def all_ended() -> bool:  # what was killed is there until it gets a turn to die
        return subprocess.run(["pgrep", "-f", str(slow)], capture_output=True, check=False).stdout == b""

    processes.wait_until(all_ended, 10, "all that it has started to end")
    assert command.LOOK_EVERY_S < 1


def test_two_repositories_do_not_share_a_mirror(repo: Path, far: Far, tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    _fetched(far, str(repo))
    far.place.remove()
    _fetched(far, str(other))
    assert len(list((far.place.root / ".mirrors").iterdir())) == 2

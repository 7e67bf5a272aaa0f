"""A repository whose own configuration names commands: nothing of it is run where its tree is sent and taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relay.core.errors import Misuse, RelayError
from relay.git.pulling import pull
from relay.git.returning import paths, show
from tests.trees.ground import Far, git, listing, repository

COMMANDS = (
    "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.gitProxy",
    "core.alternateRefsCommand", "diff.external", "diff.x.textconv", "diff.x.command", "merge.x.driver", "gpg.program",
    "gpg.ssh.program", "uploadpack.packObjectsHook", "credential.helper", "interactive.diffFilter", "sequence.editor",
    "trailer.x.command", "pager.diff", "pager.show", "pager.log",
)  # fmt: skip
FILTERS = ("filter.x.clean", "filter.x.smudge", "filter.x.process")
HOOKS = ("post-index-change", "pre-commit", "reference-transaction", "post-checkout", "post-merge", "post-rewrite")
SWITCHES = ("commit.gpgSign", "log.showSignature", "merge.verifySignatures", "submodule.recurse")


def _made_hostile(repo: Path, tmp_path: Path, *filters: str) -> Path:
    """Name a command wherever a configuration can; the file that it would leave."""
    ran, script = tmp_path / "ran", tmp_path / "evil"
    script.write_text(f'#!/bin/sh\necho "$0 $*" >> {ran}\ncat\n')
    script.chmod(0o755)
    other = repository(tmp_path / "other")
    (repo / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    (repo / ".gitattributes").write_text("* diff=x merge=x\n*.x filter=x\n")
    (repo / "kept.x").write_text("as it is\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "attributes")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in HOOKS:
        shutil.copy(script, hooks / name)
    for key in (*COMMANDS, *filters):
        git(repo, "config", key, str(script))
    git(repo, "config", "core.hooksPath", str(hooks))
    for key in SWITCHES:
        git(repo, "config", key, "true")
    (repo / "kept.x").touch()  # so that git has to look at it, by its filter
    return ran


@pytest.mark.parametrize(("before", "how"), [("", "fast-forward"), ("b", "applied"), ("a", "worktree")])
def test_nothing_of_it_is_run_on_the_way_there_and_back(
    repo: Path, far: Far, tmp_path: Path, before: str, how: str
) -> None:
    ran = _made_hostile(repo, tmp_path, *FILTERS)
    if before:
        (repo / before).write_text("dirty\n")
    made = far.sent(repo)
    there = far.received(made)
    (there / "a").write_text("by the task\n")
    back = far.returned(made)
    with (tmp_path / "shown").open("wb") as file:
        show(back, repo, far.scratch(), False, True, file)
        show(back, repo, far.scratch(), True, False, file)
    assert paths(back, repo, far.scratch()) == ["a"]
    if how == "worktree":
        (repo / "a").write_text("moved on\n")
    assert pull(back, repo, far.near, far.scratch(), None).how == how
    assert pull(back, repo, far.near, far.scratch(), None).how == "already"
    assert not ran.exists(), ran.read_text()


def test_what_its_filter_would_have_to_read_or_write_is_left_alone(repo: Path, far: Far, tmp_path: Path) -> None:
    ran = _made_hostile(repo, tmp_path, *FILTERS)
    made = far.sent(repo)
    there = far.received(made)
    (there / "new.x").write_text("by the task\n")
    back = far.returned(made)
    head, files = git(repo, "rev-parse", "HEAD"), listing(repo)
    with pytest.raises(Misuse, match="cannot be pulled") as refused:
        pull(back, repo, far.near, far.scratch(), None)
    assert "new.x: .git/config has the filter x" in refused.value.why and "git merge relay/task" in refused.value.hint
    assert listing(repo) == files and git(repo, "show", "relay/task:new.x") == "by the task"
    assert git(repo, "rev-parse", "HEAD") == head
    (repo / "kept.x").write_text("changed\n")
    with pytest.raises(RelayError, match="arrive without their content"):
        far.sent(repo)
    assert not ran.exists(), ran.read_text()


def test_a_filter_that_writes_what_it_gets_is_in_nobody_s_way(repo: Path, far: Far, tmp_path: Path) -> None:
    ran = _made_hostile(repo, tmp_path, "filter.x.clean")
    git(repo, "config", "filter.x.smudge", "cat")
    made = far.sent(repo)
    (far.received(made) / "new.x").write_text("by the task\n")
    assert pull(far.returned(made), repo, far.near, far.scratch(), None).how == "fast-forward"
    assert (repo / "new.x").read_text() == "by the task\n" and not ran.exists()

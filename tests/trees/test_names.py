"""Names of every kind travel both ways as they are; not those that git takes for its own, nor links that lead out."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from relay.core.errors import Code, Misuse, RelayError
from relay.core.withheld import is_git_s_own
from relay.git.pulling import pull
from relay.git.returning import Returned, paths
from tests.trees.ground import Far, listing

ODD = (
    "a\nb", "-x", "--upload-pack=x", " lead", "trail ", "\x1b[31mred", ":(top)x", ":!x", "*", "[a]", "a\\b", '"q"',
    "a\tb", os.fsdecode(b"\xff\xfe"), "é", "e\u0301", "HEAD", "refs/heads/main", "x.lock", "a:b", "..git", "git",
    ".gitx", "CON",
)  # fmt: skip
OWN = (".GIT", ".git ", "git~1", ".git.", "d/.gIt", ".git::$INDEX_ALLOCATION", ".g\u200cit", "GIT~1", ".git\\x")


@pytest.fixture(params=["git", "folder"])
def top(request: pytest.FixtureRequest, repo: Path, tmp_path: Path) -> Path:
    """A repository, or a plain folder."""
    if request.param == "git":
        return repo
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a").write_text("a\n")
    return plain


def test_odd_names_travel_there_and_back(top: Path, far: Far) -> None:
    for name in ODD:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("mine")
    made = far.sent(top)
    there = far.received(made)
    assert listing(there) == listing(top) and not any(map(is_git_s_own, ODD))
    for name in (*ODD, "new\nline", "--new"):
        (there / name).write_text("by the task")
    expected, back = listing(there), far.returned(made)
    assert sorted(paths(back, top, far.scratch())) == sorted({*ODD, "new\nline", "--new"})
    assert pull(back, top, far.near, far.scratch(), None).how == "applied" and listing(top) == expected


@pytest.mark.parametrize("name", [".GIT", ".g\u200cit"])
def test_a_name_that_git_takes_for_its_own_is_refused_before_anything_is_sent(top: Path, far: Far, name: str) -> None:
    (top / name).mkdir(parents=True)
    (top / name / "config").write_text("[core]\n")
    with pytest.raises(Misuse) as refused:
        far.sent(top)
    assert refused.value.code is Code.BAD_TREE and "no git keeps" in refused.value.message
    assert all(map(is_git_s_own, OWN))


def test_nor_do_they_keep_the_rest_from_coming_back(top: Path, far: Far) -> None:
    made = far.sent(top)
    there = far.received(made)
    for name in OWN:
        (there / name).mkdir(parents=True)
        (there / name / "config").write_text("[core]\n")
    (there / ".gitmodules").symlink_to("a")
    (there / "ok").write_text("ok")
    brought = far.brought()
    assert any("git takes their names" in each and "and 5 more" in each for each in brought.notes), brought.notes
    assert pull(far.returned(made), top, far.near, far.scratch(), None).how in ("fast-forward", "applied")
    assert (top / "ok").read_text() == "ok" and not any((top / name).exists() for name in OWN)


def test_links_that_lead_out_of_a_plain_folder_do_not_come_back(tmp_path: Path, far: Far) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a").write_text("a\n")
    made = far.sent(plain)
    there = far.received(made)
    (there / "out").symlink_to("/etc/passwd")
    (there / "up").symlink_to("..")
    (there / "in").symlink_to("a")
    assert any("out, up" in each for each in far.brought().notes)
    assert pull(far.returned(made), plain, far.near, far.scratch(), None).how == "applied"
    assert sorted(os.listdir(plain)) == ["a", "in"]
    hostile = _with_link(far, far.returned(made))
    with pytest.raises(RelayError, match="lead out"):
        pull(hostile, plain, far.near, far.scratch(), None)
    assert sorted(os.listdir(plain)) == ["a", "in"]


def _with_link(far: Far, back: Returned) -> Returned:
    """What a machine would send that lets a link through."""
    beside, bundle = far.place.beside, far.scratch() / "bundle"
    script = f"""blob=$(printf /etc/passwd | git hash-object -w --stdin)
        tree=$( (git ls-tree {back.tip}; printf "120000 blob $blob\\tout\\n") | git mktree)
        git update-ref refs/relay/tip $(git commit-tree -p {back.tip} -m link $tree)
        git bundle create -q {bundle} refs/relay/tip ^{back.base}; git rev-parse refs/relay/tip"""
    who = {f"GIT_{each}_{what}": "x" for each in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["/bin/sh", "-ec", script], cwd=beside, env=os.environ | who, capture_output=True, text=True, check=True
    )
    return replace(back, change=bundle, tip=done.stdout.strip())

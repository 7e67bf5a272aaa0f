"""What a command leaves in the user's repository when it is killed between packing a tree and asking for the spawn."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh
from tests.trees.ground import git
from tests.trees.typed import relay, said, spawned

Typing = Callable[[str], "subprocess.Popen[bytes]"]


def _keys(tree: Path) -> set[str]:
    """By which keys something is kept there."""
    return {line.split("/")[2] for line in git(tree, "for-each-ref", "refs/relay", "--format=%(refname)").split()}


@pytest.fixture
def typing(two: Scene, tree: Path) -> Iterator[Typing]:
    """Starts a command that packs its tree, and waits for its task from a person."""
    with contextlib.ExitStack() as started:

        def start(name: str) -> subprocess.Popen[bytes]:
            made = _typing(two, tree, name)
            started.enter_context(made)
            started.callback(made.kill)
            return made

        yield start


def _typing(two: Scene, tree: Path, name: str) -> subprocess.Popen[bytes]:
    before = _keys(tree)
    words = ("spawn", name, "shell", "-", "--broker", "vps", "--here")
    line = [sys.executable, "-m", "relay", *words]
    typing = subprocess.Popen(line, cwd=tree, env=two.laptop.environment(), stdin=subprocess.PIPE)
    (key,) = wait_until(lambda: _keys(tree) - before, 30.0, "its tree is packed")
    wait_until(lambda: git(tree, "for-each-ref", f"refs/relay/{key}/tree"), 30.0, "it waits for its task")
    return typing


def _killed(tree: Path, made: subprocess.Popen[bytes], before: set[str]) -> str:
    """The key of what a killed command has left."""
    made.kill()
    made.wait()
    (key,) = _keys(tree) - before
    return key


def _age(two: Scene) -> None:
    for note in (two.laptop.home / "unsent").iterdir():
        os.utime(note, (0, 0))


def test_what_a_killed_command_kept_goes_with_the_next_one_and_nothing_else_does(
    two: Scene, tree: Path, typing: Typing
) -> None:
    sent = spawned(two, tree, "echo n > new", "--here")
    left = _killed(tree, typing(sent["name"]), {sent["place"]["key"]})
    other = _killed(tree, typing(fresh()), {sent["place"]["key"], left})
    young = spawned(two, tree, "true", "--here")
    assert {left, other} < _keys(tree), "its broker might be taking it in"
    alive = typing(fresh())
    (held,) = _keys(tree) - {left, other, sent["place"]["key"], young["place"]["key"]}
    _age(two)
    last = spawned(two, tree, "true", "--here")
    assert _keys(tree) == {held, *(each["place"]["key"] for each in (sent, young, last))}
    alive.communicate(b"true")
    assert alive.returncode == 0 and held in _keys(tree)
    assert list((two.laptop.home / "unsent").iterdir()) == [], "of what is certain there is no note"
    assert relay(two.laptop, tree, "pull", sent["id"]).returncode == 0 and (tree / "new").read_text() == "n\n"


def test_what_a_spawn_was_made_of_stays_though_its_command_heard_no_answer(two: Scene, tree: Path) -> None:
    sent = spawned(two, tree, "echo n > new", "--here")
    common = git(tree, "rev-parse", "--path-format=absolute", "--git-common-dir")
    note = two.laptop.home / "unsent" / sent["place"]["key"]
    note.write_text(json.dumps({"repository": common, "name": sent["name"]}))
    (two.laptop.home / "unsent" / "nonsense").write_text("[" * 5_000)
    _age(two)
    spawned(two, tree, "true", "--here")
    assert sent["place"]["key"] in _keys(tree) and not note.exists()
    (two.laptop.home / "unsent" / "nonsense").unlink()


def test_ctrl_c_before_it_is_asked_for_is_swept_too(two: Scene, tree: Path, typing: Typing) -> None:
    given_up = typing(fresh())
    given_up.send_signal(signal.SIGINT)
    given_up.communicate()
    assert given_up.returncode == 130
    _age(two)
    last = spawned(two, tree, "true", "--here")
    assert _keys(tree) == {last["place"]["key"]}


def test_what_was_asked_for_before_keeps_no_second_tree(two: Scene, tree: Path) -> None:
    words = ("spawn", fresh(), "shell", "true", "--broker", "vps", "--here", "--json", "--idempotency-key", fresh())
    first = relay(two.laptop, tree, *words)
    (tree / "b").write_text("changed since\n")
    again = relay(two.laptop, tree, *words)
    assert (first.returncode, again.returncode) == (0, 0), said(again)
    found = json.loads(first.stdout)
    assert json.loads(again.stdout)["id"] == found["id"] and _keys(tree) == {found["place"]["key"]}

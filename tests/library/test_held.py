"""Which calls a program has in hand: what was taken once is never begun twice."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from relay.library.held import Held, Taken
from relay.library.identity import MAX_TITLE, own_title

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_call_that_is_given_again_is_not_begun_again() -> None:
    """Whether it waits, runs, has ended, or the broker has its result."""
    held = Held()
    assert held.take("a") is Taken.NEW and held.take("a") is Taken.HELD
    held.enter("a")
    assert held.take("a") is Taken.HELD and held.again() == [{"running": "a"}]
    held.end("a", {"result": {"call": "a"}})
    assert held.take("a") is Taken.HELD and held.ids == ["a"] and held.unsaid == 1
    held.kept("a")
    assert held.take("a") is Taken.OVER and held.ids == [] and held.unsaid == 0


def test_what_is_said_anew() -> None:
    """What runs, and what has ended; what was not begun is held, and nothing is to be said of it."""
    held = Held()
    for call in "abc":
        held.take(call)
    held.enter("b")
    held.end("c", {"result": {"call": "c"}})
    assert held.ids == ["a", "b", "c"] and held.again() == [{"running": "b"}, {"result": {"call": "c"}}]


def test_what_was_given_back_may_come_again() -> None:
    """It was never begun, so that the same program may begin it when it serves anew."""
    held = Held()
    held.take("a")
    assert held.give_back("a") == {"leaving": ["a"]} and held.again() == [{"leaving": ["a"]}]
    held.kept("a")
    assert held.take("a") is Taken.NEW


def test_programs_that_are_called_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the folder that each runs in, and by the file in it: one is not taken for the next start of another."""
    titles = []
    programs = [("a", "main.py"), ("b", "main.py"), (".", "a/main.py"), ("b", "/usr/bin/uvicorn"), ("a", "-c")]
    for folder, path in programs:
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.setattr(sys, "argv", [path])
        titles.append(own_title())
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "a" / "main.py")])
    monkeypatch.chdir(tmp_path / "a")
    assert len(set(titles)) == len(titles) and own_title() == titles[0]
    assert titles[0].startswith("main.py in /") and titles[0].endswith("/a") and titles[-1].startswith("python in /")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert own_title() == f"a/main.py in ~/{tmp_path.name}"
    (tmp_path / ("long" * 60)).mkdir()
    monkeypatch.chdir(tmp_path / ("long" * 60))
    assert len(own_title()) <= MAX_TITLE

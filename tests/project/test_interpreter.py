"""The interpreter that the measurements are made with."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import interpreter


def _slow(folder: Path, name: str, before: str) -> str:
    """A program that is this interpreter, with something done before."""
    path = folder / name
    path.write_text(f'#!/bin/sh\n{before}\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_what_cannot_run_it_is_passed_over(tmp_path: Path) -> None:
    broken = _slow(tmp_path, "broken", "exit 1")
    assert interpreter.fastest([broken, "/not/there", sys.executable]) == sys.executable
    assert interpreter.fastest([broken]) is None


def test_of_two_that_are_as_fast_the_first_is_chosen_and_a_slow_one_is_not(tmp_path: Path) -> None:
    first, second = (_slow(tmp_path, name, ":") for name in ("first", "second"))
    took = {first: 1.0, second: 0.95, sys.executable: 0.5}
    assert interpreter.fastest([first, second], took.get) == first
    assert interpreter.fastest([first, second, sys.executable], took.get) == sys.executable
    found = interpreter.seconds(sys.executable)
    assert found is not None and 0 < found < 60

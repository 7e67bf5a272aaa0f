"""The tree keeps its own rules: short files, plain names, a shim of the standard library, pinned dependencies."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SOURCE = _ROOT / "src" / "relay"
_MOST_LINES = 350
_EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "handler", "common", "misc"}


def _modules() -> list[Path]:
    return sorted(_SOURCE.rglob("*.py"))


def test_no_file_is_long() -> None:
    """350 lines at most."""
    long = {str(path): count for path in _modules() if (count := len(path.read_text().splitlines())) > _MOST_LINES}
    assert not long


def test_files_are_named_for_what_lives_in_them() -> None:
    """No file or folder is called helpers, and the like."""
    parts = {part for path in _modules() for part in path.relative_to(_SOURCE).with_suffix("").parts}
    assert not parts & _EMPTY_NAMES


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def test_the_shim_is_the_standard_library_alone() -> None:
    """It runs without site-packages, so an import of anything else would fail only at its start."""
    folder = _SOURCE / "spawn" / "shim"
    files = sorted(folder.rglob("*.py"))
    assert files
    foreign = {(path.name, name) for path in files for name in _imports(ast.parse(path.read_text()))}
    assert not {(file, name) for file, name in foreign if name not in sys.stdlib_module_names}


def _pinned() -> set[str]:
    lines = (_ROOT / "requirements.lock").read_text().splitlines()
    return {line.partition("==")[0] for line in lines if re.match(r"[a-z0-9-]+==", line)}


def test_every_dependency_is_pinned() -> None:
    """The lock has what pyproject.toml asks for, the development group included."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[<>=\[;! ]", each)[0].lower() for each in asked}
    assert names <= _pinned()


def test_the_lock_names_no_registry() -> None:
    """Where packages come from is the business of the machine that installs them."""
    assert "://" not in (_ROOT / "requirements.lock").read_text()


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "chaos", "lock"])
def test_the_makefile_says_what_it_can_do(target: str) -> None:
    """Each target stands in the comment at its top."""
    assert f"make {target} " in (_ROOT / "Makefile").read_text().partition("PYTHON ?=")[0]

"""Patterns of files: what each of them asks for, and where a walk need not go."""

from __future__ import annotations

import pytest

from relay.core.globs import Globs


def _asked(patterns: tuple[str, ...], path: str) -> bool:
    globs = Globs(patterns)
    states = globs.start
    for name in path.split("/"):
        states = globs.step(states, name)
    return globs.is_match(states)


@pytest.mark.parametrize(
    ("pattern", "path", "asked"),
    [
        ("dist/*.whl", "dist/a.whl", True),
        ("dist/*.whl", "dist/b/a.whl", False),
        ("dist/*.whl", "a.whl", False),
        ("*.whl", "a.whl", True),
        ("./*.whl", "a.whl", True),
        ("**/report.xml", "report.xml", True),
        ("**/report.xml", "a/b/c/report.xml", True),
        ("**/report.xml", "a/report.xml/x", False),
        ("out/**", "out/a", True),
        ("out/**", "out/a/b/c", True),
        ("out/**", "out", False),
        ("out/**/*.txt", "out/a.txt", True),
        ("a/**/b/**/c", "a/x/b/y/z/c", True),
        ("a/**/b/**/c", "a/x/y/c", False),
        ("**", "a/b", True),
        ("*", ".env", False),
        ("**", ".git/config", False),
        ("**/*", "a/.git/config", False),
        (".github/*.yml", ".github/ci.yml", True),
        ("out/.*", "out/.coverage", True),
        ("[ab]?.txt", "a1.txt", True),
        ("[!ab]?.txt", "a1.txt", False),
        ("A.txt", "a.txt", False),
    ],
)
def test_what_a_pattern_asks_for(pattern: str, path: str, asked: bool) -> None:
    assert _asked((pattern,), path) is asked


def test_a_walk_enters_only_where_something_can_match() -> None:
    globs = Globs(("dist/*.whl", "docs/**"))
    assert not globs.step(globs.start, "node_modules")
    assert globs.goes_on(globs.step(globs.start, "dist")) and globs.goes_on(globs.step(globs.start, "docs"))
    below = globs.step(globs.step(globs.start, "dist"), "a.whl")
    assert globs.is_match(below) and not globs.goes_on(below)


def test_many_wildcards_take_no_longer_than_few() -> None:
    globs = Globs(("/".join(["**"] * 80) + "/x",))
    states = globs.start
    for _ in range(200):
        states = globs.step(states, "deeper")
        assert len(states) <= 81
    assert globs.is_match(globs.step(states, "x"))

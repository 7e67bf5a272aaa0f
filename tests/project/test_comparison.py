"""docs/comparison.md names a test for each row; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_is_named_is_there() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    programs = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    there = set(re.findall(r"def (test_\w+)", programs))
    assert named and named <= there, named - there


def test_every_row_of_ours_names_one() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text()
    tables = text.partition("## What survives")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and "our test" not in line]
    assert len(rows) > 30
    assert all(re.search(r"`test_\w+` \|$", row) for row in rows), rows

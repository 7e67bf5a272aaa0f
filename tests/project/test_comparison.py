"""docs/comparison.md and docs/security.md name a test for each row; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["comparison.md", "security.md"])
def test_every_test_that_is_named_is_there(document: str) -> None:
    text = (ROOT / "docs" / document).read_text()
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


def test_every_attack_names_one() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.partition("## Attackers")[2].partition("Every decoder")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| who, and")]
    assert len(rows) > 30
    assert all(re.search(r"`test_\w+` \|$", row) for row in rows), rows

"""What a held request asks for beside its task, in words: all of it, also what this version does not know."""

from __future__ import annotations

from typing import Any

import pytest

from relay.broker.asked_terms import are_terms, terms
from relay.core.wishes import LIMIT_WAITS, After, Wishes
from relay.core.workplaces import Workplace

REPO = Workplace(repo="https://git.example/x.git", ref="main", sub="docs", push="origin")


def test_every_wish_has_its_words() -> None:
    every = Wishes(
        priority=-2,
        after=(After("a" * 16), After("b" * 16, "any")),
        retries=3,
        not_before=1_767_225_600_000,
        collect=("*.key", "a b"),
        tty=True,
        stdin=True,
        memory=1 << 26,
        cpus=1.5,
        keep_awake=True,
        place=REPO,
        max_turns=7,
        on_limit=LIMIT_WAITS,
    )
    content = every.to_content()
    assert set(content) == set(Wishes.__match_args__)
    assert terms("large", 5400.0, content) == [
        "model large",
        "ended after 90m",
        "works in a fresh worktree of https://git.example/x.git@main, in its folder docs",
        "its branch is pushed to https://git.example/x.git",
        "sends back the files '*.key' 'a b'",
        "tried again up to 3 times",
        "not before 2026-01-01T00:00:00.000Z",
        "after aaaaaaaaaaaaaaaa, once that is completed",
        "after bbbbbbbbbbbbbbbb, however that ends",
        "memory up to 64 MiB",
        "processors up to 1.5",
        "on a terminal of its own",
        "its standard input stays open",
        "keeps the machine awake",
        "at most 7 turns",
        "waits where a usage limit is reached",
        "priority -2",
    ]


def test_what_is_not_known_here_is_shown_as_it_is() -> None:
    assert terms(None, None, {}) == []
    assert terms(None, None, {"retries": "many", "teleport": {"to": "mars"}}) == [
        'retries: "many"',
        'teleport: {"to": "mars"}',
    ]


@pytest.mark.parametrize("wrong", [[], None, "x", {1: 2}, {str(n): n for n in range(65)}])
def test_other_forms_are_refused(wrong: Any) -> None:
    assert not are_terms(wrong) and are_terms({"teleport": 1})

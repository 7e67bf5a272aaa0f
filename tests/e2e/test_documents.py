"""The documents of `--json` have the keys that the docs tell, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scene import Scene, relay_json

CLI = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SPAWN = CLI.partition("\n## A spawn in JSON\n")[2]
SHOWN = {"timeline", "timeline_earlier", "marks", "clock_skew_ms", "attempts", "asked", "durations"}
NOT_ALWAYS = {"change", "pushed", "files"}


def _keys(text: str) -> set[str]:
    """The keys of the first object of a text that shows one, without those of the objects in it."""
    depth, before, found = 0, "", set()
    for token in re.findall(r'"[^"]*"|[^\s"]', text[text.index('{"') :]):
        if depth == 1 and before in "{," and token.startswith('"'):
            found.add(token.strip('"'))
        depth += (token in "{[") - (token in "}]")
        before = token
        if not depth:
            break
    return found


def _told_of(verb: str) -> set[str]:
    section = CLI.partition(f"\n### `relay {verb}`\n")[2].partition("\n### ")[0]
    return _keys(section.partition("With `--json`: ")[2])


def _one(document: Any) -> set[str]:
    return set(document[0] if isinstance(document, list) else document)


def test_a_spawn_has_the_keys_that_are_documented(granted: Scene) -> None:
    spawn = granted.shell("exit 3", status=3)
    told = _keys(SPAWN)
    assert set(spawn) == told
    assert _one(relay_json(granted.laptop, "ps", "--all", "--limit", "1")) == told
    assert set(spawn["result"]) == _keys(SPAWN.partition('"result":')[2]) - NOT_ALWAYS
    assert set(relay_json(granted.laptop, "show", spawn["id"])) == told | SHOWN
    stopped = relay_json(granted.laptop, "stop", spawn["id"])
    assert set(stopped) == told | {"stop"}


@pytest.mark.parametrize(
    "words",
    [
        "agents", "audit show", "audit verify", "broker ping vps", "broker show vps", "brokers", "clean --dry-run",
        "doctor", "identity show", "outbox", "review", "status", "version", "workspace show",
    ],
)  # fmt: skip
def test_a_document_has_the_keys_that_are_documented(granted: Scene, words: str) -> None:
    verb = words.partition(" --")[0].removesuffix(" vps")
    assert _one(relay_json(granted.laptop, *words.split(), status=None)) == _told_of(verb)


def test_a_grant_and_a_schedule_have_the_keys_that_are_documented(granted: Scene) -> None:
    assert _one(relay_json(granted.vps, "trust", "list")) == _told_of("trust list")
    where = ("--broker", "vps", "--cwd", str(granted.vps.work))
    made = relay_json(granted.laptop, "spawn", "keyed", "shell", "true", "--every", "9h", *where)
    assert _one(made) == _told_of("schedule list")
    relay_json(granted.laptop, "schedule", "remove", "keyed")

"""Every verb, option, code, state, setting and exit status is documented, and nothing else is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from relay import __version__
from relay.api import config
from relay.cli import main
from relay.cli.parsing import parse
from relay.cli.surface import TABLE
from relay.core.errors import Code
from relay.core.states import State
from relay.dashboard.words import WORDS
from relay.spawn.environment import ALWAYS

HELP_FOLDER = Path(main.HELP_FOLDER)
ROOT = Path(__file__).parents[2]
CLI = (ROOT / "docs" / "cli.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()
README = (ROOT / "README.md").read_text()
VERB_SECTIONS = dict(re.findall(r"^### `relay ([a-z ]+)`\n(.*?)(?=^##|\Z)", CLI, re.M | re.S))


def test_the_verbs_are_documented_and_no_others() -> None:
    assert sorted(VERB_SECTIONS) == sorted(TABLE)


@pytest.mark.parametrize("verb", TABLE)
def test_the_options_of_a_verb_are_documented_and_no_others(verb: str) -> None:
    text = VERB_SECTIONS[verb]
    rows = "\n".join(re.findall(r"^\| `([^`]*)`", text, re.M))
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", re.sub(r"-- ARGV", "", rows), re.I))
    assert told == set(TABLE[verb]["options"])
    assert "With `--json`: " in text


@pytest.mark.parametrize("verb", TABLE)
def test_a_verb_is_shown_in_the_docs_by_the_examples_of_its_help(verb: str) -> None:
    help_text = (HELP_FOLDER / f"{verb.replace(' ', '-')}.txt").read_text()
    examples = re.findall(r"^  (relay .*)$", help_text.partition("\nExamples:")[2], re.M)
    shown = [line for line in re.findall(r"^    (relay .*)$", VERB_SECTIONS[verb], re.M) if "[OPTIONS]" not in line]
    assert shown == examples


def test_the_codes_are_documented_once_and_no_others() -> None:
    assert sorted(re.findall(r"^\| `([a-z_]+)` \|", ERRORS, re.M)) == sorted(Code)


def test_the_states_read_as_they_are_shown() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([A-Z][a-z ]+) \|", CLI, re.M))
    assert rows == WORDS
    assert set(rows) == set(State)


def test_the_settings_are_documented() -> None:
    table = CLI.partition("## Settings")[2].partition("## Environment")[0]
    told = {name for row in re.findall(r"^\| (`[^|]*)\|", table, re.M) for name in re.findall(r"`([a-z_]+)`", row)}
    assert told == set(config.CHECKS)


def test_the_environment_of_a_task_is_documented() -> None:
    told = CLI.partition("**Of a task.**")[2]
    inherited = told.partition("Beside these")[0]
    assert set(re.findall(r"`([A-Z_]+)`", inherited)) == set(ALWAYS)
    own = re.findall(r"^\| `([A-Z_]+)` \|", told, re.M)
    assert own == ["PWD", "TERM", "RELAY_SPAWN", "RELAY_ATTEMPT", "RELAY_TOKEN"]


def test_the_events_are_documented_and_no_others() -> None:
    made = {
        kind
        for file in (ROOT / "src" / "relay").rglob("*.py")
        if "testing" not in file.parts
        for kind in re.findall(r"\.event\(\s*\"([a-z.]+)\"", file.read_text())
    }
    assert made == set(re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", VERB_SECTIONS["events"], re.M))


def _commands(text: str) -> list[str]:
    blocks = re.findall(r"^    (relay .*)$", text, re.M)
    return [part.strip() for line in blocks for part in line.split("&&") if part.strip().startswith("relay ")]


@pytest.mark.parametrize("line", [*_commands(README), *_commands(ERRORS)])
def test_a_command_in_the_docs_can_be_typed(line: str) -> None:
    assert parse(shlex.split(line, comments=True)[1:], TABLE) is not None


def test_the_version_is_the_package_s() -> None:
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()

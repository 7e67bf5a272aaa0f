"""The commands of a hint as they have to be typed: for this home, and untouched where another machine is meant."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import relay
from relay.api import durations
from relay.api.home import Home
from relay.cli.hints import for_home, home_in
from relay.cli.parsing import parse
from relay.cli.surface import TABLE
from relay.core.errors import Misuse

HINT = re.compile(r"""hint\s*=.*?f?"(?:on \{[^"]*?\}: )?(relay (?!(?:broker )?\{)[^"]*)\"""")
APART = re.compile(r" {3}|; |, |: | && ")


@pytest.mark.parametrize(
    ("hint", "typed"),
    [
        ("relay ps --all", "{r} ps --all"),
        ("relay config set x 1; then relay down; relay up", "{r} config set x 1; then {r} down; {r} up"),
        ("on vps: relay trust allow laptop", "on vps: relay trust allow laptop"),
        ("on vps: relay down; then here: relay trust allow vps", "on vps: relay down; then here: {r} trust allow vps"),
        ("run relay as the user whose home it is", "run relay as the user whose home it is"),
        ("", ""),
    ],
)
def test_a_home_that_is_not_the_default_is_named(tmp_path: Path, hint: str, typed: str) -> None:
    other = Home(str(tmp_path / "other"))
    assert for_home(hint, other) == typed.format(r=f"relay --home {other.path}")
    assert for_home(for_home(hint, other), other) == for_home(hint, other)


def test_the_default_home_needs_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    assert for_home("relay ps", Home(None)) == for_home("relay ps", Home(str(tmp_path))) == "relay ps"


def test_the_home_is_found_wherever_it_stands() -> None:
    assert [home_in(line.split()) for line in ("--home a ps", "ps --home=a", "ps", "x -- --home a", "ps --home")] == [
        "a", "a", None, None, None,
    ]  # fmt: skip


def test_no_time_at_all_is_told_as_such() -> None:
    with pytest.raises(Misuse) as caught:
        durations.parse("0s")
    assert "0s" in caught.value.message and "more than 0" in caught.value.why
    with pytest.raises(Misuse, match="no duration"):
        durations.parse("")


def test_the_command_of_a_hint_stands_apart_from_what_is_said_of_it() -> None:
    """Who types what stands before three spaces, a comma, a semicolon or a colon, types a command."""
    text = "\n".join(file.read_text() for file in sorted(Path(relay.__file__).parent.rglob("*.py")))
    hints = {re.sub(r"\{[^}]*\}", "1", hint) for hint in HINT.findall(text)}
    assert len(hints) > 100
    typed = [(hint, shlex.split(APART.split(hint)[0])[1:]) for hint in sorted(hints)]
    assert [hint for hint, words in typed if parse(words, TABLE) is None] == []

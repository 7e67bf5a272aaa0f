"""The table is what the declarations say, and both parsers read a line alike."""

from __future__ import annotations

import importlib
import inspect
import shlex
from typing import Any

import pytest

from relay.cli import compile as compiling
from relay.cli import declaring, fallback, main
from relay.cli.parsing import FLAG, NUMBER, TEXTS, Parsed, parse
from relay.cli.surface import TABLE
from relay.core.errors import Code, Misuse

compiling.commands()  # declares them
HELPS = compiling.helps()
EXAMPLES = [line for key in TABLE for line in declaring.EXAMPLES[key]]


def test_the_generated_files_are_fresh() -> None:
    """Else: python -m relay.cli.compile"""
    assert (compiling.HERE / "surface.py").read_text() == compiling.surface()
    written = {path.name: path.read_text() for path in (compiling.HERE / "help").iterdir()}
    assert written == HELPS


@pytest.mark.parametrize("verb", TABLE)
def test_a_verb_s_function_takes_what_the_table_gives(verb: str) -> None:
    module, _, function = TABLE[verb]["target"].partition(":")
    parameters = dict(inspect.signature(getattr(importlib.import_module(module), function)).parameters)
    parameters.pop("invocation")
    open_ended = parameters.pop("request", None)
    assert set(parameters) <= set(TABLE[verb]["values"])
    assert open_ended is not None or set(parameters) == set(TABLE[verb]["values"])


@pytest.mark.parametrize("verb", TABLE)
def test_every_verb_has_help_with_examples(verb: str) -> None:
    text = HELPS[f"{verb.replace(' ', '-')}.txt"]
    assert "\nExamples:\n  relay " in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert all(flag in text for flag in TABLE[verb]["options"])


@pytest.mark.parametrize("name", sorted({verb.split()[0] for verb in TABLE if " " in verb}))
def test_every_group_shows_an_example_of_each_of_its_verbs(name: str) -> None:
    text = HELPS[f"{name}.txt"]
    inner = [verb for verb in TABLE if verb.startswith(f"{name} ")]
    examples = text.partition("\nExamples:")[2]
    assert all(f"\n  relay {verb}" in examples for verb in inner) or name in TABLE


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_a_line_that_both_accept(line: str) -> None:
    _read_alike(shlex.split(line)[1:])


def _typed_lines() -> list[list[str]]:
    lines = [[], ["--json"], ["--home", "/x"], ["--home=/x", "ps"], ["--json", "--home", "/a", "ps", "--home", "/b"]]
    lines += [["trust", "--json", "list"], ["--home", "/x", "trust", "--home", "/y", "list"], ["ps", "--limit=3"]]
    lines += [["spawn", "a", "exec", "--", "--json", "-x"], ["spawn", "--wait", "-", "shell", "-", "--json"]]
    lines += [["spawn", "a", "shell", "--broker", "--wait", "x"], ["logs", "x", "-n", "5"]]
    lines += [["mcp", "--http", "--port", "65535"], ["ps", "--limit", "1"]]
    lines += [["trust", "allow", "a", "b", "--dir", "x", "--dir", "y", "--no-ask"], ["trust", "allow", "a", "--ask"]]
    lines += [["spawn", "a", "b", "", "--label", "x=1", "--label=y=2"], ["spawn", "--", "a", "shell", "-x"]]
    for verb, entry in TABLE.items():
        words = [f"w{at}" for at, (_, required, _) in enumerate(entry["words"]) if required]
        for flag, (_, kind, _) in entry["options"].items():
            value = [] if kind == FLAG else ["7" if kind == NUMBER else "v"]
            lines += [[*verb.split(), flag, *value, *words], [*verb.split(), *words, flag, *value, "--json"]]
    return lines


@pytest.mark.parametrize("words", _typed_lines(), ids=" ".join)
def test_both_parsers_read_a_line_alike(words: list[str]) -> None:
    _read_alike(words)


def _read_alike(words: list[str]) -> None:
    quick, slow = parse(words, TABLE), fallback.parse_slowly(words)
    assert quick is not None
    assert (quick.verb, quick.values) == (slow.verb, slow.values)


WRONG = [
    ["nonsense"],
    ["trust"],
    ["trust", "nonsense"],
    ["ps", "word"],
    ["ps", "--bogus"],
    ["ps", "--json=yes"],
    ["ps", "--broker"],
    ["ps", "--limit", "many"],
    ["spawn"],
    ["spawn", "name"],
    ["wait"],
    ["join", "CODE", "vps:7411", "more"],
    ["config", "set", "key"],
    ["--bogus", "ps"],
    ["logs", "a", "b"],
    ["queue", "--status", "held", "pause"],
    ["logs", "x", "--tail", "-1"],
    ["events", "--since", "-1"],
    ["ps", "-n", "-1"],
    ["ps", "-n", "0"],
    ["mcp", "--http", "--port", "65536"],
    ["ps", "-n", "1" * 5000],
]


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:40])
def test_what_the_table_refuses_typer_explains(words: list[str]) -> None:
    assert parse(words, TABLE) is None
    with pytest.raises(Misuse) as caught:
        fallback.parse_slowly(words)
    assert caught.value.code is Code.USAGE
    assert caught.value.hint.endswith("--help")


@pytest.mark.parametrize("words", [["ps", "-a7"], ["logs", "x", "-fn", "3"], ["logs", "x", "-n3"]], ids=" ".join)
def test_bundled_short_options_go_the_slow_way(words: list[str]) -> None:
    assert parse(words, TABLE) is None


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["ps", "-h"], ["trust", "--help"], ["wait", "-h"]])
def test_help_is_asked_for_anywhere(words: list[str]) -> None:
    parsed = parse(words, TABLE) or fallback.parse_slowly(words)
    assert isinstance(parsed, Parsed) and parsed.help


def test_lists_are_fresh_for_each_parse() -> None:
    first = parse(["spawn", "a", "shell", "x", "--label", "k=v"], TABLE)
    second = parse(["spawn", "a", "shell", "x"], TABLE)
    assert first is not None and second is not None
    assert (first.values["label"], second.values["label"]) == (["k=v"], [])
    assert TABLE["spawn"]["options"]["--label"][1] == TEXTS


def test_a_defect_of_ours_is_told_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> int:
        raise ZeroDivisionError("by\x1b[31m zero")

    monkeypatch.setattr(main, "run", broken)
    assert main.main(["ps"]) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told and "Traceback" not in told and "\x1b" not in told

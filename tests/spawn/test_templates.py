"""Agents of `agents.toml`: streams, success, modes, resume; what it adds to known ones; agents of other packages."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import Code, LocalFault, Misuse
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.spawn.agents import registry
from relay.spawn.agents.agent import Agent
from relay.spawn.agents.commands import Shell
from relay.spawn.agents.registry import Agents

DOCUMENTED = Path(__file__).parents[2] / "docs" / "agents.md"


def agents(tmp_path: Path, text: str) -> Agents:
    """The agents of a broker whose agents.toml has this text."""
    (tmp_path / "agents.toml").write_text(text)
    return Agents(tmp_path / "agents.toml")


def agent(tmp_path: Path, text: str) -> Agent:
    """The agent `mine` of a section with these lines."""
    return agents(tmp_path, f"[agents.mine]\n{text}").get("mine")


def request(**changes: Any) -> SpawnRequest:
    """A request for it."""
    fields: dict[str, Any] = {"id": "abcdefghij234567", "name": "coder", "agent": "mine", "task": "Fix it"}
    return SpawnRequest(**fields | {"created": 1, "expires": 2} | changes)


def test_the_last_object_decides(tmp_path: Path) -> None:
    rule = 'stream = "jsonl"\nsuccess = { ok = true }\nsummary = "text"\nsession = "id"'
    mine = agent(tmp_path, f'command = ["a"]\n{rule}')
    for said, state in (({"ok": True}, State.COMPLETED), ({"ok": False}, State.FAILED), ({}, State.FAILED)):
        reader = mine.reader()
        reader.feed(0, json.dumps({"id": "s1", "text": "Hm.", **said}).encode())
        found = reader.finding(0)
        assert (found.state, found.summary, found.session) == (state, "Hm.", "s1")


def test_words_that_mean_failure(tmp_path: Path) -> None:
    mine = agent(tmp_path, 'command = ["a"]\nfailure = ["^FAIL:"]')
    for line, state in ((b"FAIL: x", State.FAILED), (b"no FAIL: x", State.COMPLETED)):
        reader = mine.reader()
        reader.feed(1, line)
        assert reader.finding(0).state is state


@pytest.mark.parametrize(
    ("stream", "line"),
    [
        ("claude", b'{"type":"result","subtype":"success","result":"Done."}'),
        ("codex", b'{"type":"turn.completed","usage":{}}'),
    ],
)
def test_streams_of_known_agents(tmp_path: Path, stream: str, line: bytes) -> None:
    mine = agent(tmp_path, f'command = ["a"]\nstream = "{stream}"')
    reader = mine.reader()
    reader.feed(0, line)
    assert reader.finding(0).state is State.COMPLETED
    assert mine.reader().finding(0).code is Code.AGENT_NO_RESULT


def test_modes_and_a_mode_that_it_has_not(tmp_path: Path) -> None:
    mine = agent(tmp_path, 'command = ["a", "{mode}", "b"]\nmodes = { plan = ["--dry", "--run"], edit = [] }')
    assert mine.command(request(mode="plan"), 1).argv == ("a", "--dry", "--run", "b")
    assert mine.command(request(mode="edit"), 1).argv == ("a", "b")
    with pytest.raises(Misuse) as caught:
        mine.command(request(mode="full"), 1)
    assert caught.value.code is Code.AGENT_CANNOT
    assert agent(tmp_path, 'command = ["a", "{mode}"]').command(request(mode="full"), 1).argv == ("a", "full")


def test_resume(tmp_path: Path) -> None:
    mine = agent(tmp_path, 'command = ["a"]\nresume = ["a", "--session", "{session}", "--", "{task}"]')
    assert mine.command(request(), 2, "s1").argv == ("a", "--session", "s1", "--", "Fix it")
    with pytest.raises(Misuse):
        mine.command(request(), 2, "--evil")
    with pytest.raises(Misuse) as caught:
        agent(tmp_path, 'command = ["a"]').command(request(), 2, "s1")
    assert caught.value.code is Code.AGENT_CANNOT


@pytest.mark.parametrize(
    "wrong",
    [
        'stream = "xml"', 'stream = "jsonl"', 'success = { ok = true }', 'stream = "jsonl"\nsuccess = {}',
        'stream = "jsonl"\nsuccess = { ok = [1] }', 'failure = ["("]', 'failure = "x"',
        'stream = "jsonl"\nsuccess = { ok = 1 }\nfailure = ["x"]', 'resume = ["a"]', 'resume = ["{session}"]',
        'modes = { fast = ["x"] }', 'modes = ["x"]', 'version = "v"', 'summary = "x"', 'env = ["X"]',
    ],
)  # fmt: skip
def test_a_section_that_contradicts_itself_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(LocalFault) as caught:
        agent(tmp_path, f'command = ["a"]\n{wrong}')
    assert caught.value.code is Code.BAD_AGENTS_FILE and "agents.mine" in caught.value.why
    with pytest.raises(LocalFault):
        agent(tmp_path, 'command = ["a", "{session}"]')


HEAD = """# ours
[environment]
ALL = "1"

[agents.fine]
command = ["fine"]

"""


@pytest.mark.parametrize(
    ("section", "line", "what"),
    [
        ('[agents.mine]\ncommand = ["a",\n  "{taks}"]', 9, "{task} would be"),
        ('[agents.mine]\n# x\nresume = ["a", "{session}", "--", "{prompt}"]\ncommand = ["a"]', 10, "{task} would be"),
        ('[agents.mine]\ncommand = ["a"]\nfailure = ["^fine$", "(open"]', 10, "'(open' is none: missing )"),
        ('[agents.mine]\ncommand = ["a"]\nstream = "jsonl"\n\nsuccess = { ok = 1.5 }', 12, "whole numbers"),
        ('[agents.mine]\ncommand = ["a"]\nstream = "jsonl"', 10, "needs success"),
        ('[agents.mine]\ncommand = ["a"]\n[agents.mine.success]\nok = true', 10, 'success is for stream = "jsonl"'),
        ('[agents.mine]\ncommand = ["a"]\nstop = "HUP"', 10, "INT, TERM or KILL"),
        ('[agents.mine]\nversion = []', 8, "command has to be"),
        ('[agents.mine]\ncommand = ["a"]\ncolour = 1', 10, "unknown key 'colour'"),
        ('[agents.shell]\ncommand = ["a"]', 8, "give this one another name"),
        ('[agents.claude]\nenv = ["A", 1]', 9, "names of variables"),
        ('[agents.claude]\nmodel = "x"', 9, "needs a command"),
        ('[agents.claude]\n[agents.claude.environment]\nA = "1"\nB = 2', 11, "environment.B has to be a text"),
        ("[agent.mine]\ncommand = []", 8, "and nothing else"),
        ('[agents.mine]\ncommand = ["a"]\nmodes = { plan = ["-n"] }', 9, "needs the word {mode}"),
        ('[agents.mine]\nresume = ["a", "{session}"]\ncommand = ["a", "{mode}"]\nmodes = { plan = [] }', 9, "{mode}"),
        ('[agents.mine]\ncommand = ["a"]\nfailure = ["FAIL", "(error)*"]', 10, "'(error)*' is found in every line"),
        ('[agents.mine]\ncommand = ["a"]\nstream = "jsonl"\nsuccess = { a = 1, "a.b" = 2 }', 11, "have a.b in it"),
        ('[agents.mine]\ncommand = ["a"]\nstream = "jsonl"\nsuccess = { a.b = 2 }', 11, "in quotes"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, section: str, line: int, what: str) -> None:
    known = agents(tmp_path, HEAD + section)
    fault = known.fault()
    assert fault is not None and fault.code is Code.BAD_AGENTS_FILE
    assert fault.message == f"agents.toml, line {line}, cannot be used" and what in fault.why and "\n" not in fault.why
    name = section.partition("]")[0].partition(".")[2]
    if section.startswith("[agents."):
        if name != "shell":
            with pytest.raises(LocalFault):
                known.get(name)
        assert known.get("fine").name == "fine" and name in known.names() and not known.is_preset(name)
    else:
        with pytest.raises(LocalFault):
            known.get("fine")


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("[agents.mine", {"mine"}),
        ('[agents.codex.environment]\nA = "1"\n\n[agents.mine]\ncommand = ["a]\n', {"codex", "mine"}),
        ('[environment]\nA = "1"\n[agents.mine', {"mine", "codex", "claude"}),
        ('[agents]\nclaude.env = []\ncodex = [', {"mine", "codex", "claude"}),
        ('agents.claude.env = []\n[agents.mine', {"mine", "codex", "claude"}),
        ("what is this", {"mine", "codex", "claude"}),
    ],
)
def test_what_is_no_toml_stops_those_that_it_may_be_about(tmp_path: Path, text: str, hit: set[str]) -> None:
    known = agents(tmp_path, text)
    assert known.fault() is not None and known.get("shell").name == "shell"
    assert {name for name in ("mine", "codex", "claude") if known.fault_of(name) is not None} == hit
    assert known.installed()
    (tmp_path / "agents.toml").write_text('[agents.mine]\ncommand = ["mended"]\n')
    assert known.fault() is None and known.get("mine").name == "mine" and known.get("claude").name == "claude"


def test_braces_that_are_no_mark_reach_the_program(tmp_path: Path) -> None:
    mine = agent(tmp_path, 'command = ["awk", "{print}", "${HOME}", "{}", "{\\"a\\": 1}", "{task}"]')
    assert mine.command(request(), 1).argv == ("awk", "{print}", "${HOME}", "{}", '{"a": 1}', "Fix it")


def test_the_environment_of_all_and_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the broker's own variables an agent gets those that its section names, and never what is relay's."""
    for name in ("KEY_OF_ONE", "KEY_OF_ANOTHER", "CLAUDECODE", "RELAY_TOKEN", "CLAUDE_CODE_SESSION"):
        monkeypatch.setenv(name, "secret")
    text = """
    [environment]
    ALL = "1"
    BOTH = "all"
    [agents.claude]
    env = ["KEY_OF_ONE", "CLAUDECODE", "RELAY_TOKEN", "CLAUDE_CODE_SESSION"]
    environment = { BOTH = "claude", CLAUDE_CODE_MAX_RETRIES = "3" }
    """
    known = agents(tmp_path, text)
    assert known.get("claude").name == "claude"
    own = {"ALL": "1", "BOTH": "claude", "KEY_OF_ONE": "secret", "CLAUDE_CODE_MAX_RETRIES": "3"}
    assert known.additions("claude") == own
    assert known.additions("codex") == {"ALL": "1", "BOTH": "all"}
    probe = known.probe("claude")
    assert probe is not None and probe.environment == own


@pytest.mark.parametrize("wrong", ["stop = 'INT'", "env = 'X'", "environment = { X = 1 }", "env = [1]"])
def test_additions_that_are_none(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(LocalFault):
        agents(tmp_path, f"[agents.claude]\n{wrong}").get("claude")


class Reviewer(Shell):
    """An agent of another package."""

    name = "reviewer"


class Pretender(Shell):
    """One that would take a preset's place."""


def raises() -> Agent:
    """One that cannot be made."""
    raise ImportError("no such module")


def test_other_packages_bring_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = __name__
    entries = [
        importlib.metadata.EntryPoint(name, f"{here}:{name}", registry.GROUP)
        for name in ("Reviewer", "Pretender", "raises", "is_not_there")
    ]
    monkeypatch.setattr(registry, "_entries", lambda: tuple(entries))
    known = Agents(tmp_path / "agents.toml")
    assert isinstance(known.get("reviewer"), Reviewer) and type(known.get("shell")) is Shell
    assert "raises" in caplog.text and "is_not_there" in caplog.text


def test_the_documented_examples_are_taken(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        known = agents(tmp_path, block)
        assert known.fault() is None, known.fault()

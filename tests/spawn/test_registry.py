"""`agents.toml`: read strictly, read again when it changes, and never able to replace `shell` or `exec`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from relay.core.errors import Code, LocalFault, Refused
from relay.spawn.agents.claude import Claude
from relay.spawn.agents.commands import Exec, Shell
from relay.spawn.agents.registry import MAX_FILE, Agents, AgentsFile, Template, load_templates

GOOD = """
[agents.reviewer]
command = ["my-reviewer", "--model", "{model}", "--", "{task}"]
stop = "TERM"
environment = { REVIEW = "strict" }

[agents.small]
command = ["cat"]
"""


PRESETS = sorted("aider claude codex exec gemini goose groq llm opencode python shell".split())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agents.toml"


def write(file: Path, text: str) -> None:
    """Write, with another time than before."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def test_templates(file: Path) -> None:
    write(file, GOOD)
    found = load_templates(file).agents
    assert found["reviewer"] == Template(
        "reviewer", ("my-reviewer", "--model", "{model}", "--", "{task}"), signal.SIGTERM, {"REVIEW": "strict"}
    )
    assert found["small"] == Template("small", ("cat",), signal.SIGINT, {})


def test_no_file_is_no_templates(file: Path) -> None:
    assert load_templates(file) == AgentsFile()
    assert Agents(file).names() == PRESETS


def _program(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


def test_only_agents_whose_program_is_here_count_as_installed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, stocked, own = tmp_path / "empty", tmp_path / "stocked", tmp_path / "own"
    empty.mkdir()
    _program(stocked, "claude")
    monkeypatch.setenv("PATH", str(empty))
    write(file, GOOD)
    agents = Agents(file)
    assert agents.names() == sorted([*PRESETS, "reviewer", "small"])
    assert agents.installed() == ["exec", "shell"]
    monkeypatch.setenv("PATH", str(stocked))  # another PATH is another answer, at once
    assert agents.installed() == ["claude", "exec", "shell"]
    _program(own, "my-reviewer")
    write(file, f'[agents.reviewer]\ncommand = ["{own}/my-reviewer"]')  # so is another agents.toml
    assert agents.installed() == ["claude", "exec", "reviewer", "shell"]


def test_a_program_that_comes_is_seen_at_the_next_look(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    agents = Agents(file)
    assert agents.installed() == ["exec", "shell"]
    _program(folder, "claude")
    assert agents.installed() == ["exec", "shell"]
    monkeypatch.setattr("relay.spawn.agents.registry.LOOK_AGAIN_S", 0.0)
    assert agents.installed() == ["claude", "exec", "shell"]


def test_a_broken_file_leaves_the_presets(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(file, "[agents.x")
    assert Agents(file).installed() == ["exec", "shell"]


WRONG = {
    "no TOML": ("[agents.x", "line 1"),
    "another section": ('[tools.x]\ncommand = ["x"]', "[agents.NAME]"),
    "agents that are no table": ("agents = 5", "[agents.NAME]"),
    "an agent that is no table": ("[agents]\nx = 5", "agents.x"),
    "a name with a slash": ('[agents."../x"]\ncommand = ["x"]', "agents.../x"),
    "a name with capitals": ('[agents.Big]\ncommand = ["x"]', "agents.Big"),
    "an unknown key": ('[agents.x]\ncommand = ["x"]\ncomand = 1', "'comand'"),
    "no command": ("[agents.x]\n", "command"),
    "an empty command": ("[agents.x]\ncommand = []", "command"),
    "an empty word": ('[agents.x]\ncommand = ["x", ""]', "command"),
    "a command in one text": ('[agents.x]\ncommand = "x y"', "list of words"),
    "numbers in a command": ("[agents.x]\ncommand = [1]", "list of words"),
    "a NUL in a word": ('[agents.x]\ncommand = ["x", "a\\u0000b"]', "command"),
    "an unknown stop": ('[agents.x]\ncommand = ["x"]\nstop = "HUP"', "INT, TERM or KILL"),
    "a stop in a list": ('[agents.x]\ncommand = ["x"]\nstop = ["INT"]', "INT, TERM or KILL"),
    "an environment of numbers": ('[agents.x]\ncommand = ["x"]\nenvironment = { A = 1 }', "environment"),
    "an environment that is none": ('[agents.x]\ncommand = ["x"]\nenvironment = "A=1"', "environment"),
    "a key of an environment with =": ('[agents.x]\ncommand = ["x"]\nenvironment = { "A=B" = "1" }', "environment"),
    "an empty key of an environment": ('[agents.x]\ncommand = ["x"]\nenvironment = { "" = "1" }', "environment"),
    "a NUL in an environment": ('[agents.x]\ncommand = ["x"]\nenvironment = { A = "\\u0000" }', "environment"),
    "the first word is a mark": ('[agents.x]\ncommand = ["{task}"]', "command"),
    "too long": ("#" * (MAX_FILE + 1), "longer"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_refused_and_names_the_place(file: Path, wrong: str) -> None:
    text, told = WRONG[wrong]
    write(file, GOOD + text if "[" in text and not text.startswith("#") else text)
    fault = Agents(file).fault()
    assert fault is not None
    assert fault.code is Code.BAD_AGENTS_FILE and str(file) in fault.hint
    assert told in fault.why or told == "line 1", fault.why


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_commands_that_another_user_may_write_are_none(file: Path) -> None:
    write(file, GOOD)
    os.chown(file, 12345, -1)
    with pytest.raises(LocalFault) as fault:
        load_templates(file)
    assert (fault.value.code, fault.value.why) == (Code.BAD_AGENTS_FILE, "uid 12345 can write to it")
    assert Agents(file).names() == PRESETS


def test_bytes_that_are_no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(LocalFault):
        load_templates(file)


def test_a_change_is_seen(file: Path) -> None:
    agents = Agents(file)
    with pytest.raises(Refused) as caught:
        agents.get("reviewer")
    assert caught.value.code is Code.UNKNOWN_AGENT and str(file) in caught.value.hint
    write(file, GOOD)
    assert agents.get("reviewer").name == "reviewer"
    assert agents.names() == sorted([*PRESETS, "reviewer", "small"])
    file.unlink()
    with pytest.raises(Refused):
        agents.get("reviewer")


def test_a_broken_file_takes_only_what_it_defines(file: Path) -> None:
    agents = Agents(file)
    write(file, "broken [")
    assert isinstance(agents.get("shell"), Shell) and isinstance(agents.get("exec"), Exec)
    assert agents.names() == PRESETS and agents.fault() is not None
    for _ in range(2):  # it stays broken, it is not forgotten after it was told once
        with pytest.raises(LocalFault):
            agents.get("claude")
    write(file, GOOD)
    assert agents.fault() is None and isinstance(agents.get("claude"), Claude)


@pytest.mark.parametrize("name", ["shell", "exec", "python"])
def test_what_takes_commands_cannot_be_replaced(file: Path, name: str) -> None:
    write(file, f'[agents.claude]\ncommand = ["other"]\n[agents.{name}]\ncommand = ["other"]\n')
    agents = Agents(file)
    assert isinstance(agents.get("shell"), Shell) and isinstance(agents.get("exec"), Exec), "they run all the same"
    fault = agents.fault_of(name)
    assert fault is not None and "line 3" in fault.message and f"agents.{name}" in fault.why
    assert isinstance(agents.get("claude"), Template), "nothing is wrong with that one"


def test_another_one_can_be(file: Path) -> None:
    write(file, '[agents.claude]\ncommand = ["other"]\n')
    agents = Agents(file)
    assert isinstance(agents.get("claude"), Template)

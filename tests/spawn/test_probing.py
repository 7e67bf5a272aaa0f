"""What `relay doctor` finds of each agent, from programs that answer, babble, hang and are not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from relay.api.home import Home
from relay.api.service import installed, systemd
from relay.api.service.definition import Definition
from relay.spawn.agents import probing
from relay.spawn.agents.registry import Agents

LOGGED_IN = '{"loggedIn": true, "email": "ann@example.org"}'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "bin").mkdir()
    return Home(tmp_path / "home")


def _program(folder: Path, text: str, name: str = "claude") -> None:
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / "bin" / name).chmod(0o755)


def _found(home: Home, **own: str) -> dict[str, dict[str, Any]]:
    folder = Path(home.path).parent
    path = {"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(folder)}
    seen = probing.sight(home, path | own, ("KEY",), is_broker=True)
    return {each["name"]: each for each in probing.examine(Agents(Path(home.agents)), seen)}


TAKE_ANY = {"agent shell", "agent exec"}  # every machine has the one, each request names the other


def test_path_version_and_login(home: Home, tmp_path: Path) -> None:
    _program(tmp_path, f"case $1 in --version) echo '2.1.197 (Claude Code)';; auth) echo '{LOGGED_IN}';; esac")
    found = _found(home)
    assert found["agent claude"] == {
        "name": "agent claude",
        "ok": True,
        "detail": f"{tmp_path}/bin/claude, 2.1.197, logged in",
        "hint": "",
    }
    assert set(found) == {"PATH", *(f"agent {name}" for name in Agents(Path(home.agents)).names())} - TAKE_ANY
    assert found["agent codex"]["ok"] and "not installed" in found["agent codex"]["detail"]


def test_one_agent_is_looked_at_as_a_task_finds_it_now(home: Home, tmp_path: Path) -> None:
    """What a dry run tells: of the broker's own PATH, with a note where its service's tasks would find another."""
    agents, environment = Agents(Path(home.agents)), {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    seen = probing.sight(home, environment, (), is_broker=True)
    assert probing.found(agents.probe("claude"), environment, seen) == probing.Found(None)
    _program(tmp_path, f"case $1 in --version) echo '2.1.197';; auth) echo '{LOGGED_IN}';; esac")
    found = probing.found(agents.probe("claude"), environment, seen)
    assert (found.path, found.version, found.logged_in) == (f"{tmp_path}/bin/claude", "2.1.197", True)
    assert found.log_in.startswith("claude auth login") and found.note == ""
    other = probing.Sight({"PATH": "/nowhere"}, "the service", "the broker that runs has another PATH")
    assert probing.found(agents.probe("claude"), environment, other).note.endswith("tasks of the service find none")
    assert probing.found(agents.probe("shell"), environment, seen) == probing.Found("/bin/sh")


@pytest.mark.parametrize("said", ["", "logged in", "[]", '{"loggedIn": "yes"}', "[" * 20_000, '{"other": 1}'])
def test_what_does_not_say_is_not_guessed(home: Home, tmp_path: Path, said: str) -> None:
    (tmp_path / "said").write_text(said)
    _program(tmp_path, f"case $1 in --version) echo 2.1.197;; auth) cat {tmp_path}/said; exit 1;; esac")
    finding = _found(home)["agent claude"]
    assert finding["ok"] is True and finding["detail"].endswith("nobody can say whether it is logged in")


@pytest.mark.parametrize("version", ["2.1.40", "1.0", "", "none"])
def test_a_program_that_is_too_old_is_not_asked(home: Home, tmp_path: Path, version: str) -> None:
    _program(tmp_path, f"echo $1 >> {tmp_path}/asked; echo '{version}'")
    assert "nobody can say" in _found(home)["agent claude"]["detail"]
    assert (tmp_path / "asked").read_text() == "--version\n"


def test_a_login_by_a_variable_counts_where_tasks_have_it(home: Home, tmp_path: Path) -> None:
    answer = """[ -n "$KEY$SECRET" ] && echo '{"loggedIn": true}' || echo '{"loggedIn": false}'"""
    _program(tmp_path, f"case $1 in --version) echo 2.1.197;; auth) {answer};; esac")
    assert _found(home, KEY="in-config")["agent claude"]["ok"] is True
    without = _found(home, SECRET="not-in-config")["agent claude"]
    assert without["ok"] is False and without["hint"].startswith("claude auth login")
    assert "NOT logged in" in without["detail"]


def test_a_program_that_hangs_is_ended(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_S", 0.5)
    _program(tmp_path, "sleep 1000 & wait")
    begun = time.monotonic()
    finding = _found(home)["agent claude"]
    assert finding["ok"] is False and finding["detail"].endswith("claude --version: it was not done after 0.5 s")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("#!/no/such/interpreter\n", "it cannot be started: No such file or directory"),
        ("#!/bin/sh\nkill -SEGV $$\n", "it was ended by SIGSEGV"),
        ("#!/bin/sh\necho broken; exit 3\n", "it ended with exit code 3"),
    ],
)
def test_a_program_that_cannot_run_is_told_of(home: Home, tmp_path: Path, text: str, fault: str) -> None:
    _program(tmp_path, "")
    program = tmp_path / "bin/claude"
    program.write_text(text)
    finding = _found(home)["agent claude"]
    assert finding["ok"] is False and finding["detail"] == f"{program} --version: {fault}"
    assert finding["hint"] == "install claude again, or take it out of that PATH"
    agents, environment = Agents(Path(home.agents)), {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    found = probing.found(agents.probe("claude"), environment, probing.sight(home, environment, (), is_broker=True))
    assert (found.path, found.version, found.logged_in, found.note) == (str(program), "", None, finding["detail"])


def test_endless_output_is_cut(home: Home, tmp_path: Path) -> None:
    _program(tmp_path, "echo 2.1.40; exec cat /dev/zero")
    assert "2.1.40" in _found(home)["agent claude"]["detail"]


def test_an_agent_of_ones_own_is_only_looked_for(home: Home, tmp_path: Path) -> None:
    Path(home.agents).write_text(
        '[agents.mine]\ncommand = ["mine"]\n[agents.gone]\ncommand = ["gone"]\n'
        f'[agents.far]\ncommand = ["far"]\nenvironment = {{ PATH = "{tmp_path}/far" }}\n'
    )
    (tmp_path / "far" / "bin").mkdir(parents=True)
    _program(tmp_path / "far", "", "far")
    (tmp_path / "far" / "bin" / "far").rename(tmp_path / "far" / "far")
    _program(tmp_path, f"touch {tmp_path}/ran", "mine")
    found = _found(home)
    assert found["agent mine"] == {"name": "agent mine", "ok": True, "detail": f"{tmp_path}/bin/mine", "hint": ""}
    assert found["agent gone"]["ok"] is False and "missing_binary" in found["agent gone"]["detail"]
    assert found["agent far"]["detail"] == f"{tmp_path}/far/far"
    assert found["agent claude"]["ok"] is True and "not installed" in found["agent claude"]["detail"]
    assert not (tmp_path / "ran").exists()


def _install(home: Home, path: str) -> None:
    place = installed.systemd_place(home)
    Path(place.file).parent.mkdir(parents=True)
    Path(place.file).write_text(systemd.unit_text(Definition(home.path, "/usr/bin/python3", path)))


def test_the_service_s_path_counts_and_another_one_is_told(home: Home, tmp_path: Path) -> None:
    _program(tmp_path, "echo 1.0")
    _install(home, "/usr/bin:/bin")
    found = _found(home)
    assert found["PATH"]["ok"] is False and "outside of the service" in found["PATH"]["detail"]
    assert found["PATH"]["hint"].endswith("service install")
    assert "not in that PATH" in found["agent claude"]["detail"]
    same = _found(home, PATH="/usr/bin:/bin")
    assert same["PATH"]["ok"] is True


@pytest.mark.parametrize(
    ("account", "logged_in"),
    [
        ('{"account":null,"requiresOpenaiAuth":true}', False),
        ('{"account":null,"requiresOpenaiAuth":false}', None),  # a provider with a key of its own
        ('{"account":{"type":"chatgpt"},"requiresOpenaiAuth":true}', True),
    ],
)
def test_codex_says_of_its_account_what_it_tells_its_conductor(
    home: Home, tmp_path: Path, account: str, logged_in: bool | None
) -> None:
    """Its app-server goes on until its input ends, so that the look ends with the answer."""
    answers = f"""while read -r line; do case $line in
      *account/read*) echo '{{"method":"noise"}}'
        echo '{{"id":2,"result":{account}}}'; echo '{{"id":3}}';; esac; done"""
    _program(tmp_path, f"case $1 in --version) echo codex-cli 0.171.0;; app-server) {answers};; esac", "codex")
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    agents, begun = Agents(Path(home.agents)), time.monotonic()
    found = probing.found(agents.probe("codex"), environment, probing.sight(home, environment, (), is_broker=True))
    assert (found.logged_in, found.version) == (logged_in, "0.171.0") and time.monotonic() - begun < probing.PROBE_S

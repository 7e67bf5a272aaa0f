"""The command as people run it, where no broker runs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from relay.api.config import CHECKS, RESERVED_TABLES
from relay.api.home import Home
from relay.testing.processes import wait_until
from tests.cli.conftest import COMMAND, Relay


def test_bare_relay_names_the_home_in_each_of_its_next_commands(relay: Relay, tmp_path: Path) -> None:
    other = str(tmp_path / "other home")
    lines = relay("--home", other).stdout.splitlines()[1:]
    assert len(lines) == 4 and all(f"relay --home '{other}' " in line for line in lines)
    assert f"then: relay --home '{other}' up --detach" in lines[1]
    begin = zip(lines, ("see", "set up", "or enter", "all"), strict=True)
    assert len({line.index(about) for line, about in begin}) == 1


def test_nothing_set_up_shows_the_first_steps(relay: Relay) -> None:
    done = relay()
    assert done.returncode == 0
    assert "relay demo" in done.stdout and "relay init" in done.stdout
    assert json.loads(relay("--json").stdout)["set_up"] is False


def test_help_is_plain_text(relay: Relay) -> None:
    done = relay("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "trust allow" in done.stdout and "\x1b" not in done.stdout
    assert "Examples:" in relay("spawn", "x", "--help").stdout
    assert relay("trust", "--help").stdout.startswith("Usage: relay trust VERB")


def test_a_usage_error_is_ours(relay: Relay) -> None:
    done = relay("ps", "--bogus")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["error: no such option: --bogus", "try:   relay ps --help"]
    why = "why:   words that start with a dash and belong to the text stand after --"
    said = ["error: no such option: -x", why, "try:   relay send --help"]
    assert relay("send", "build", "-x").stderr.splitlines() == said
    as_json = relay("ps", "--bogus", "--json")
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["error"]["code"] == "usage"
    assert as_json.stderr == ""
    assert relay("trust", "allow", "vps", "--dir").stderr.splitlines()[-1] == "try:   relay trust allow --help"
    for words in (("show", "\udcff"), ("resolve", "build", "done", "--notes", "a\udcff")):
        assert "is not UTF-8 text" in relay(*words).stderr, "it would be a question mark to whom it is told"


def test_before_init_a_verb_says_so(relay: Relay) -> None:
    done = relay("ps")
    assert done.returncode == 1
    assert "relay init" in done.stderr


def test_every_setting_is_listed_and_a_refused_value_names_a_command_that_works(relay: Relay) -> None:
    relay("init")
    listed = json.loads(relay("config", "list", "--json").stdout)
    assert set(listed) == set(CHECKS) - set(RESERVED_TABLES)
    assert "slots = {}" in relay("config", "list").stdout
    refused = json.loads(relay("config", "set", "slots.claude", "0", "--json").stdout)["error"]
    command = refused["hint"].partition("   shows")[0]
    assert command == "relay config get slots" and relay(*command.split()[1:]).stdout == "{}\n"
    unset = json.loads(relay("config", "get", "slots.claude", "--json").stdout)["error"]
    assert (unset["message"], unset["hint"]) == ("slots.claude is not set", "relay config get slots")


def test_init_makes_private_files_once(relay: Relay, home: Home) -> None:
    done = relay("init", "--name", "laptop", "--listen", "127.0.0.1:0", "--json")
    document = json.loads(done.stdout)
    assert document["broker"]["name"] == "laptop" and len(document["broker"]["id"]) == 56
    assert set(document) == {"broker", "workspace", "home"}
    assert document["home"] == home.path
    assert stat.S_IMODE(os.stat(home.path).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(each).st_mode) for each in (home.identity_key, home.workspace_key)} == {0o600}
    again = relay("init")
    assert again.returncode == 2 and "set up already" in again.stderr


@pytest.mark.parametrize("words", [("--name", "No Good"), ("--listen", "nowhere")])
def test_init_refuses_before_it_writes(relay: Relay, home: Home, words: tuple[str, str]) -> None:
    assert relay("init", *words).returncode == 2
    assert not os.path.exists(home.workspace_key)


def test_the_option_wins_over_the_variable(relay: Relay, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    assert relay("--home", other, "init").returncode == 0
    assert "--home" in relay("ps", "--home", other).stderr.splitlines()[-1]
    assert json.loads(relay("status", "--json", "--home", other).stdout) == {"running": False, "home": other}
    blank = relay("--home", "", "init", "--json")
    assert blank.returncode == 2 and json.loads(blank.stdout)["error"]["message"] == "--home is empty"


def test_status_without_a_broker(relay: Relay) -> None:
    relay("init")
    done = relay("status", "--json")
    assert (done.returncode, json.loads(done.stdout)["running"]) == (1, False)
    not_running = relay("ps", "--json")
    assert (not_running.returncode, json.loads(not_running.stdout)["error"]["code"]) == (1, "not_running")
    # who waits for a task has to tell a 1 of the task from that nothing acted
    for words, status in ((["spawn", "a", "shell", "x"], 1), (["spawn", "a", "shell", "x", "--wait"], 125),
                          (["continue", "a", "x", "--follow"], 125)):  # fmt: skip
        done = relay(*words, "--json")
        assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (status, "not_running"), words


def test_config_verbs(relay: Relay) -> None:
    relay("init")
    done = relay("config", "set", "max_parallel", "8")
    assert (done.stdout, done.stderr) == ("max_parallel = 8\n", "it holds from the next start of the broker\n")
    assert relay("config", "get", "max_parallel", "--json").stdout == "8\n"
    assert "retention = 30d" in relay("config", "list").stdout
    for wrong in ("lots", "1" * 5000, "[" * 3000):
        assert relay("config", "set", "max_parallel", wrong).returncode == 2
    assert relay("config", "get", "nothing").returncode == 2


def test_of_two_who_set_something_at_once_neither_is_lost(relay: Relay, environment: dict[str, str]) -> None:
    relay("init")
    words = [[*COMMAND, "config", "set", f"slots.a{n}", "1"] for n in range(6)]
    nowhere = subprocess.DEVNULL
    for process in [subprocess.Popen(each, env=environment, stdout=nowhere, stderr=nowhere) for each in words]:
        assert process.wait(30) == 0
    assert len(json.loads(relay("config", "get", "slots", "--json").stdout)) == len(words)


def test_no_address_is_the_usual_ones_and_that_is_said(relay: Relay) -> None:
    relay("init")
    done = relay("config", "set", "listen", "")
    assert done.returncode == 0
    assert "listens on loopback" in done.stderr



def test_a_wrong_config_is_named_with_its_line(relay: Relay, home: Home) -> None:
    relay("init")
    Path(home.config).write_text("\n\nmax_parallel = 0\n")
    done = relay("config", "list")
    assert done.returncode == 1
    assert "line 3" in done.stderr


def test_trust_verbs_edit_the_file(relay: Relay, tmp_path: Path) -> None:
    relay("init", "--name", "laptop")
    folder = tmp_path / "work"
    folder.mkdir()
    words = ("--profile", "runner", "--agent", "shell", "--dir", str(folder), "--expires", "30d", "--ask")
    given = json.loads(relay("trust", "allow", "laptop", *words, "--json").stdout)[0]
    assert given["agents"] == ["*", "shell"] and given["dirs"] == ["new", str(folder.resolve())]
    assert given["ask"] is True and given["expires"].endswith("Z")
    assert json.loads(relay("trust", "list", "--json").stdout) == [given]
    assert "laptop" in relay("trust", "list").stdout
    assert relay("trust", "test", "laptop", "--agent", "shell", "--dir", str(folder)).returncode == 0
    refused = relay("trust", "test", "laptop", "--mode", "full", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "mode_beyond_grant"
    assert "by no grant" in relay("trust", "revoke", "laptop").stdout, "it is this broker itself, and may go on"
    assert relay("trust", "list", "--json").stdout == "[]\n"


def test_a_grant_that_is_over_is_listed_as_that(relay: Relay) -> None:
    relay("init", "--name", "laptop")
    given = json.loads(relay("trust", "allow", "laptop", "--agent", "shell", "--expires", "2h", "--json").stdout)[0]
    assert f"{given['expires'][:16].replace('T', ' ')}Z" in relay("trust", "list").stdout
    relay("trust", "allow", "laptop", "--expires", "1s")
    wait_until(lambda: "EXPIRED" in relay("trust", "list").stdout, 20, "it to be over")
    assert "grant_expired" in relay("trust", "test", "laptop", "--agent", "shell").stdout


def test_trust_names_nobody_it_does_not_know(relay: Relay) -> None:
    relay("init", "--name", "laptop")
    done = relay("trust", "allow", "ghost", "--profile", "runner")
    assert done.returncode == 2 and "laptop" in done.stderr
    empty = relay("trust", "allow", "laptop")
    assert empty.returncode == 2 and "--profile runner" in empty.stderr


def test_a_broken_trust_file_is_told(relay: Relay, home: Home) -> None:
    relay("init")
    Path(home.trust).write_text("[brokers\n")
    os.chmod(home.trust, 0o600)
    done = relay("trust", "list")
    assert done.returncode == 1 and "trust.toml" in done.stderr
    assert relay("doctor").returncode == 1


def test_doctor_names_each_finding(relay: Relay, home: Home) -> None:
    relay("init")
    os.chmod(home.identity_key, 0o644)
    checks = {check["name"]: check for check in json.loads(relay("doctor", "--json").stdout)}
    assert checks["mode of identity.key"]["ok"] is False
    assert checks["mode of identity.key"]["hint"].startswith("chmod 600")
    assert checks["broker"]["ok"] is False and checks["config.toml"]["ok"] is True


def test_join_refuses_what_is_no_link(relay: Relay, home: Home) -> None:
    done = relay("join", "nonsense")
    assert done.returncode == 2
    assert not os.path.exists(home.workspace_key)
    assert relay("join", "nonsense", "--profile", "runner").returncode == 2


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "nothing came"),
        ("\n", "nothing came"),
        ("relay://nonsense", "an invite link starts with relay://join/"),
        ("7-crater-lantern-velvet", "relay join CODE HOST:PORT"),
        ("relay join a b c", "that is not an invite link"),
    ],
)
def test_what_is_pasted_for_a_link_is_looked_at(relay: Relay, typed: str, why: str) -> None:
    for words in (("join",), ("join", "-")):
        done = relay(*words, typed=typed)
        assert done.returncode == 2
        assert why in done.stderr


def test_a_link_is_asked_for_where_there_is_no_standard_input(environment: dict[str, str]) -> None:
    words = ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "join"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "nothing came" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_no_trouble(relay: Relay, tmp_path: Path, closed: str) -> None:
    """Whoever closes what it would write to gets the exit status, and no traceback."""
    words = f'"$@" version {closed}; echo "status $?"'
    done = subprocess.run(
        ["/bin/sh", "-c", words, "sh", *COMMAND], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    assert done.stdout.endswith("status 0\n") and done.stderr == ""

"""`relay service` where systemd runs the machine, acted out by stand-ins for its commands."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from pathlib import Path
from typing import Any

import pytest

from relay.api.home import Home
from relay.api.service import systemd
from tests.api.canned_broker import CannedBroker
from tests.service.conftest import PID, Relay, document
from tests.service.stand_ins import StandIns

USER = pwd.getpwuid(os.getuid()).pw_name
RUNS = {"pid": PID, "active": "active", "sub": "running"}
LINGER = f"sudo loginctl enable-linger {USER}"


@pytest.fixture
def unit(user: Path) -> Path:
    return user / ".config" / "systemd" / "user" / "relay.service"


@pytest.fixture
def running(system: StandIns, broker: CannedBroker) -> CannedBroker:
    """The broker that answers is the one the manager knows."""
    system.plan(**RUNS)
    return broker


def test_install_writes_enables_starts_and_lingers(
    relay: Relay, system: StandIns, unit: Path, user: Path, home: Home, running: CannedBroker
) -> None:
    done = relay(system, "service", "install")
    assert done.returncode == 0, done.stderr
    assert f"installed: relay.service; its broker runs as pid {PID}" in done.stdout
    assert "before you log in" in done.stderr
    written = systemd.read_unit(unit.read_text())
    assert written is not None and written.home == home.path
    assert written.path == f"{user}/.local/bin:/usr/bin"
    assert unit.stat().st_mode & 0o777 == 0o600
    assert system.calls() == [
        "systemctl daemon-reload",
        "systemctl enable relay.service",
        "systemctl reset-failed relay.service",
        "systemctl restart relay.service",
        f"loginctl enable-linger {USER}",
    ]


def test_install_twice_brings_it_up_to_date(relay: Relay, system: StandIns, unit: Path, running: CannedBroker) -> None:
    first = document(relay(system, "service", "install", "--json"))
    text = unit.read_text()
    system.shell('PATH=/new/bin; export PATH; exec /bin/sh -c "$4"')
    second = document(relay(system, "service", "install", "--json"))
    assert (first["updated"], second["updated"], second["path"]) == (False, True, "/new/bin")
    assert unit.read_text() != text and "/new/bin" in unit.read_text()
    assert system.calls().count("systemctl restart relay.service") == 2
    assert set(second) == {
        "manager", "name", "unit", "path", "path_from", "pid", "updated", "took_over", "linger", "notes",
    }  # fmt: skip
    assert os.listdir(unit.parent) == ["relay.service"]


def test_print_writes_nothing_and_calls_nobody(relay: Relay, system: StandIns, user: Path, tmp_path: Path) -> None:
    odd = str(tmp_path / "my 50% home")
    done = relay(system, "--home", odd, "service", "install", "--print")
    assert done.returncode == 0
    read = systemd.read_unit(done.stdout)
    assert read is not None and read.home == odd
    assert "it would be written to" in done.stderr
    assert system.calls(asking=True) == [] and not any(user.rglob("*"))
    assert document(relay(system, "service", "install", "--print", "--json"))["text"].startswith(systemd.MARK)


def test_a_shell_that_does_not_answer_is_told(relay: Relay, system: StandIns, running: CannedBroker) -> None:
    system.shell("exit 3")
    done = relay(system, "service", "install")
    assert done.returncode == 0
    assert "ended without telling its PATH: the service gets the PATH of this terminal instead" in done.stderr
    assert document(relay(system, "service", "install", "--json"))["path_from"] == "terminal"


def test_refused_lingering_is_told_with_the_command(relay: Relay, system: StandIns, running: CannedBroker) -> None:
    system.plan(linger_refused=True)
    done = relay(system, "service", "install")
    assert done.returncode == 0
    assert f"only while you are logged in, because lingering was refused: {LINGER}" in done.stderr
    status = relay(system, "service", "status", "--json")
    assert status.returncode == 1
    found = document(status)
    assert found["linger"] is False
    assert found["problems"] == [{"text": "it runs only while you are logged in", "hint": LINGER}]


def test_without_loginctl_nobody_can_say(relay: Relay, system: StandIns, running: CannedBroker) -> None:
    (system.folder / "loginctl").unlink()
    done = relay(system, "service", "install")
    assert done.returncode == 0 and f"nobody could say; to make sure: {LINGER}" in done.stderr
    assert document(relay(system, "service", "status", "--json"))["linger"] is None


def test_lingering_is_asked_for_where_nobody_can_say(relay: Relay, system: StandIns, running: CannedBroker) -> None:
    system.plan(fails={"show-user": "User ID 1000 is not logged in or lingering"})
    assert "before you log in" in relay(system, "service", "install").stderr
    assert system.now()["linger"] is True


NOT_BOOTED = "System has not been booted with systemd as init system (PID 1). Can't operate."
NO_MEDIUM = "Failed to connect to bus: No medium found"


def test_a_machine_without_systemd(relay: Relay, system: StandIns, user: Path, broker: CannedBroker) -> None:
    (system.folder / "systemctl").unlink()
    before = sorted(user.rglob("*"))
    done = relay(system, "service", "install", "--json")
    error = document(done)["error"]
    assert (done.returncode, error["code"]) == (1, "no_service_manager")
    assert "there is no systemctl" in error["why"] and error["hint"].startswith("relay up --detach")
    assert sorted(user.rglob("*")) == before


@pytest.mark.parametrize("said", [NOT_BOOTED, NO_MEDIUM])
def test_a_manager_that_cannot_be_reached(
    relay: Relay, system: StandIns, user: Path, broker: CannedBroker, said: str
) -> None:
    system.plan(unreachable=said)
    before = sorted(user.rglob("*"))
    done = relay(system, "service", "install")
    assert done.returncode == 1
    assert "no service can be installed here" in done.stderr and said in done.stderr
    wanted = LINGER if os.path.isdir("/run/systemd/system") else "relay up --detach"
    assert f"try:   {wanted}" in done.stderr
    assert sorted(user.rglob("*")) == before and system.calls() == []
    status = relay(system, "service", "status")
    assert status.returncode == 1 and said in status.stdout


@pytest.mark.parametrize("verb", ["daemon-reload", "enable", "restart"])
def test_what_fails_half_way_is_taken_back(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker, verb: str
) -> None:
    system.plan(fails={verb: "Failed: Access denied"})
    done = relay(system, "service", "install", "--json")
    error = document(done)["error"]
    assert (done.returncode, error["code"]) == (1, "service_failed")
    assert "Access denied" in error["why"] and verb in error["why"]
    assert os.listdir(unit.parent) == []
    assert system.now()["enabled"] is False and "systemctl disable --now relay.service" in system.calls()


@pytest.mark.parametrize("verb", ["enable", "restart"])
def test_an_update_that_fails_leaves_what_was(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker, verb: str
) -> None:
    assert relay(system, "service", "install").returncode == 0
    text = unit.read_text()
    system.shell('PATH=/new/bin; export PATH; exec /bin/sh -c "$4"')
    system.plan(fails={verb: "Failed: no"})
    assert relay(system, "service", "install").returncode == 1
    assert unit.read_text() == text and system.now()["enabled"] is True


@pytest.mark.parametrize("changes", [{"load": "masked"}, {"load": "bad-setting"}, {"fragment": "/etc/x.service"}])
def test_a_unit_that_systemd_does_not_take(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker, changes: dict[str, str]
) -> None:
    system.plan(**changes)
    done = relay(system, "service", "install")
    assert done.returncode == 1 and "systemd does not take" in done.stderr
    assert not unit.exists() and not any("enable relay" in each for each in system.calls())


def test_a_broker_that_fails_at_once_takes_the_service_back(
    relay: Relay, system: StandIns, unit: Path, home: Home
) -> None:
    relay(system, "init")
    Path(home.log).write_text("2026 INFO started\n2026 ERROR port 7411 is taken\n")
    system.plan(starts_as=["activating", "auto-restart"])
    done = relay(system, "service", "install")
    assert done.returncode == 1
    assert "does not start; everything is as it was before" in done.stderr and "port 7411 is taken" in done.stderr
    assert not unit.exists()


def test_install_before_init(relay: Relay, system: StandIns, user: Path) -> None:
    done = relay(system, "service", "install")
    assert done.returncode == 1 and "relay init" in done.stderr
    assert system.calls(asking=True) == []


def test_a_broken_home_is_refused_before_anything_is_written(
    relay: Relay, system: StandIns, home: Home, unit: Path
) -> None:
    relay(system, "init")
    Path(home.config).write_text("max_parallel = 0\n")
    done = relay(system, "service", "install")
    assert done.returncode == 1 and "max_parallel" in done.stderr and not unit.exists()


def _foreign(unit: Path, kind: str) -> None:
    unit.parent.mkdir(parents=True)
    other = unit.parent / "other"
    other.write_text("[Service]\nExecStart=/bin/true\n")
    if kind == "another's":
        shutil.copy(other, unit)
    elif kind == "masked":
        unit.symlink_to("/dev/null")
    elif kind == "link":
        unit.symlink_to(other)
    elif kind == "dangling":
        unit.symlink_to(unit.parent / "nowhere")
    elif kind == "folder":
        unit.mkdir()
    elif kind == "pipe":
        os.mkfifo(unit)


@pytest.mark.parametrize("verb", ["install", "uninstall", "status"])
@pytest.mark.parametrize("kind", ["another's", "masked", "link", "dangling", "folder", "pipe"])
def test_what_stands_in_the_way_is_not_touched(
    relay: Relay, system: StandIns, unit: Path, broker: CannedBroker, kind: str, verb: str
) -> None:
    _foreign(unit, kind)
    before = [(path.name, path.lstat().st_mode, path.lstat().st_mtime_ns) for path in sorted(unit.parent.iterdir())]
    done = relay(system, "service", verb)
    assert done.returncode == 1 and f"{unit} is in the way" in done.stderr
    assert [(p.name, p.lstat().st_mode, p.lstat().st_mtime_ns) for p in sorted(unit.parent.iterdir())] == before
    assert system.calls() == []
    assert (unit.parent / "other").read_text() == "[Service]\nExecStart=/bin/true\n"


def test_the_service_of_another_home_is_not_replaced(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker
) -> None:
    assert relay(system, "service", "install").returncode == 0
    unit.write_text(unit.read_text().replace("/share/relay\"", "/share/other\""))
    done = relay(system, "service", "install")
    assert done.returncode == 1 and "the service of another home" in done.stderr


def test_two_homes_do_not_collide(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker, tmp_path: Path
) -> None:
    assert relay(system, "service", "install").returncode == 0
    second = str(tmp_path / "second")
    found = document(relay(system, "service", "status", "--json", "--home", second))
    assert found["installed"] is False and found["unit"] != str(unit)
    assert found["name"].startswith("relay-second-")
    named = document(relay(system, "service", "status", "--json", RELAY_HOME=second))
    assert named["name"] == found["name"]


def test_status_says_what_is_true(relay: Relay, system: StandIns, unit: Path, running: CannedBroker) -> None:
    relay(system, "service", "install")
    done = relay(system, "service", "status", "--json")
    found = document(done)
    assert done.returncode == 0 and found["ok"] is True and found["problems"] == []
    assert found["installed"] and found["enabled"] and found["active"] == "active" and found["linger"] is True
    assert found["pid"] == PID and found["unit"] == str(unit) and found["program"]["works"] is True
    assert found["broker"]["answers"] is True and found["broker"]["in_service"] is True
    system.plan(pid=1, enabled=False)
    texts = [each["text"] for each in document(relay(system, "service", "status", "--json"))["problems"]]
    assert texts == ["it is not started with the machine", "a broker runs, but outside of the service"]


def test_status_sees_that_the_program_is_gone(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker, tmp_path: Path
) -> None:
    relay(system, "service", "install")
    text = unit.read_text()
    unit.write_text(text.replace('ExecStart="', f'ExecStart="{tmp_path}/removed-venv'))
    done = relay(system, "service", "status", "--json")
    found = document(done)
    assert done.returncode == 1 and found["program"]["works"] is False
    assert "No such file or directory" in found["problems"][0]["text"]
    assert found["problems"][0]["hint"] == "relay service install"


def test_uninstall_keeps_the_home(
    relay: Relay, system: StandIns, unit: Path, home: Home, running: CannedBroker
) -> None:
    relay(system, "service", "install")
    done = relay(system, "service", "uninstall")
    assert done.returncode == 0 and f"kept: the home {home.path}" in done.stderr
    assert not unit.exists() and os.path.exists(home.workspace_key)
    assert system.calls()[-3:] == [
        "systemctl disable --now relay.service",
        "systemctl daemon-reload",
        "systemctl reset-failed relay.service",
    ]
    again = relay(system, "service", "uninstall", "--json")
    assert (again.returncode, document(again)["removed"]) == (0, False)


def test_uninstall_that_is_refused_removes_nothing(
    relay: Relay, system: StandIns, unit: Path, running: CannedBroker
) -> None:
    relay(system, "service", "install")
    system.plan(fails={"disable": "Failed: no"})
    done = relay(system, "service", "uninstall")
    assert done.returncode == 1 and "cannot be stopped and disabled" in done.stderr and unit.exists()


def test_no_variable_but_path_is_written(relay: Relay, system: StandIns, unit: Path, running: CannedBroker) -> None:
    system.shell('SECRET=of-the-shell; export SECRET; PATH=/a; export PATH; exec /bin/sh -c "$4"')
    assert relay(system, "service", "install", ANTHROPIC_API_KEY="of-the-terminal").returncode == 0
    text = unit.read_text()
    assert "of-the" not in text and text.count("Environment=") == 1


def test_doctor_shows_the_agents_as_the_service_sees_them(
    relay: Relay, system: StandIns, running: CannedBroker, user: Path
) -> None:
    """The canned broker has no `doctor`, so that the command examines them as it does where no broker runs."""
    _agent(user / ".local" / "bin" / "claude", logged_in=False)
    _agent(system.folder / "claude", logged_in=True)
    plain = _doctor(relay, system)
    assert plain["PATH"]["detail"].endswith("(of this terminal: no service is installed)")
    assert plain["agent claude"]["detail"] == f"{system.folder}/claude, 2.1.197, logged in"
    assert plain["service"]["ok"] is True and plain["service"]["detail"].startswith("none:")
    relay(system, "service", "install")
    served = _doctor(relay, system)
    assert served["PATH"]["detail"] == f"{user}/.local/bin:/usr/bin   (of the service relay.service)"
    assert served["agent claude"]["ok"] is False
    assert served["agent claude"]["detail"] == f"{user}/.local/bin/claude, 2.1.197, NOT logged in"
    assert served["agent claude"]["hint"].startswith("claude auth login")
    assert served["service"] == {"name": "service", "ok": True, "detail": "relay.service, active", "hint": ""}


def _doctor(relay: Relay, system: StandIns) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in document(relay(system, "doctor", "--json"))}


def _agent(path: Path, *, logged_in: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    said = json.dumps({"loggedIn": logged_in, "email": "ann@example.org"})
    cases = f"--version) echo '2.1.197 (Claude Code)';; auth) echo '{said}';;"
    path.write_text(f"#!/bin/sh\ncase $1 in {cases} esac\n")
    path.chmod(0o755)

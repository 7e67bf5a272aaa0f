"""`relay service` where launchd runs the machine, acted out by a stand-in for launchctl."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.api.home import Home
from relay.api.service import launchd
from tests.api.canned_broker import CannedBroker
from tests.service.conftest import PID, Relay, document
from tests.service.stand_ins import StandIns

DOMAIN = f"gui/{os.getuid()}"
TARGET = f"{DOMAIN}/local.relay"


@pytest.fixture
def plist(user: Path) -> Path:
    return user / "Library" / "LaunchAgents" / "local.relay.plist"


@pytest.fixture
def running(mac: StandIns, broker: CannedBroker) -> CannedBroker:
    mac.plan(pid=PID, active="active", loaded=True)
    return broker


def test_install_writes_enables_and_bootstraps(
    relay: Relay, mac: StandIns, plist: Path, home: Home, running: CannedBroker
) -> None:
    done = relay(mac, "service", "install")
    assert done.returncode == 0, done.stderr
    assert f"installed: local.relay; its broker runs as pid {PID}" in done.stdout
    assert "it starts when you log in at this Mac" in done.stderr and "linger" not in done.stderr
    written = launchd.read_plist(plist.read_bytes())
    assert written is not None and written.home == home.path
    assert mac.calls() == [
        f"launchctl enable {TARGET}",
        f"launchctl bootout {TARGET}",
        f"launchctl bootstrap {DOMAIN} {plist}",
    ]
    assert os.stat(launchd.log_path(home.path)).st_mode & 0o777 == 0o600


def test_nobody_is_logged_in_at_the_screen(relay: Relay, mac: StandIns, user: Path, broker: CannedBroker) -> None:
    mac.plan(unreachable="Could not find domain for user gui")
    before = sorted(user.rglob("*"))
    error = document(relay(mac, "service", "install", "--json"))["error"]
    assert error["code"] == "no_service_manager" and "logged in at this Mac's screen" in error["why"]
    assert sorted(user.rglob("*")) == before


@pytest.mark.parametrize("verb", ["enable", "bootstrap"])
def test_what_fails_half_way_is_taken_back(
    relay: Relay, mac: StandIns, plist: Path, running: CannedBroker, verb: str
) -> None:
    mac.plan(fails={verb: "Bootstrap failed: 5: Input/output error"})
    done = relay(mac, "service", "install")
    assert done.returncode == 1 and "Input/output error" in done.stderr
    assert os.listdir(plist.parent) == [] and mac.now()["loaded"] is False


def test_a_broker_that_ends_at_once_takes_the_service_back(relay: Relay, mac: StandIns, plist: Path) -> None:
    relay(mac, "init")
    mac.plan(starts_as=["waiting", ""], last_exit="1")
    done = relay(mac, "service", "install")
    assert done.returncode == 1 and "everything is as it was before" in done.stderr and "service.log" in done.stderr
    assert not plist.exists() and mac.now()["loaded"] is False


def test_status_and_uninstall(relay: Relay, mac: StandIns, plist: Path, home: Home, running: CannedBroker) -> None:
    relay(mac, "service", "install")
    status = relay(mac, "service", "status", "--json")
    found = document(status)
    assert status.returncode == 0
    assert found["manager"] == "launchd" and found["linger"] is None and found["pid"] == PID
    mac.plan(active="waiting", last_exit="78: EX_CONFIG")
    assert document(relay(mac, "service", "status", "--json"))["active"] == "spawn scheduled"
    assert document(relay(mac, "service", "uninstall", "--json"))["removed"] is True
    assert not plist.exists() and mac.now()["loaded"] is False and os.path.exists(home.workspace_key)
    assert document(relay(mac, "service", "status", "--json"))["installed"] is False


def test_print(relay: Relay, mac: StandIns, tmp_path: Path) -> None:
    done = relay(mac, "--home", str(tmp_path / "a & <b>"), "service", "install", "--print")
    written = launchd.read_plist(done.stdout.encode())
    assert written is not None and written.home.endswith("a & <b>") and "a &amp; &lt;b&gt;" in done.stdout
    assert mac.calls(asking=True) == []

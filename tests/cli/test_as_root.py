"""Root in the home of another account: what is written there stays that account's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from relay.api.home import Home
from tests.api.canned_broker import CannedBroker
from tests.cli.conftest import COMMAND, Relay

OTHER = 12_345
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes into the homes of others")


def _give_away(home: Home) -> None:
    for each in (Path(home.path), *Path(home.path).rglob("*")):
        os.lchown(each, OTHER, OTHER)


def test_what_root_writes_into_a_home_stays_its_owner_s(relay: Relay, home: Home) -> None:
    assert relay("init", "--name", "laptop").returncode == 0
    _give_away(home)
    assert relay("config", "set", "max_parallel", "3").returncode == 0
    assert relay("trust", "allow", "laptop", "--profile", "runner").returncode == 0
    assert {os.stat(each).st_uid for each in Path(home.path).iterdir()} == {OTHER}


def test_what_root_has_looked_at_stays_its_owner_s(relay: Relay, home: Home, broker: CannedBroker) -> None:
    assert relay().returncode == 0
    os.unlink(home.seen)
    _give_away(home)
    assert relay().returncode == 0
    assert os.stat(home.seen).st_uid == OTHER


def test_the_broker_of_another_account_is_not_begun_and_the_account_is_named(relay: Relay, home: Home) -> None:
    relay("init")
    _give_away(home)
    done = relay("up", "--detach")
    assert done.returncode == 1 and "belongs to another user, uid 12345" in done.stderr, done.stderr
    assert f"sudo -u '#12345' relay --home {home.path} up --detach" in done.stderr


def test_settings_that_cannot_be_read_are_named(relay: Relay, home: Home, environment: dict[str, str]) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: apt-get install util-linux")
    relay("init")
    os.chmod(home.config, 0)
    words = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *COMMAND, "up", "--detach"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and f"error: {home.config} cannot be read" in done.stderr, done.stderr

"""A user with a home folder of her own, and the system's service programs as stand-ins on her PATH."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.api.home import Home
from relay.testing import command
from tests.api.canned_broker import CannedBroker, serving
from tests.service.stand_ins import StandIns

Relay = Callable[..., "subprocess.CompletedProcess[str]"]
LOGIN = 'PATH="$HOME/.local/bin:/usr/bin"; export PATH; exec /bin/sh -c "$4"'


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def home(user: Path) -> Home:
    return Home(user / ".local" / "share" / "relay")


@pytest.fixture
def system(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "bin", "systemctl", "loginctl")


@pytest.fixture
def mac(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "mac", "launchctl")


@pytest.fixture
def relay(user: Path, tmp_path: Path) -> Relay:
    """Run `relay WORDS` on a system; gives back status, stdout and stderr."""

    def run(system: StandIns, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        shell = system.folder / "shell"
        environment = {
            "HOME": str(user),
            "PATH": str(system.folder),
            "SHELL": str(shell) if shell.exists() else system.shell(LOGIN),
            "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        }
        done = command.run(words, environment | variables, tmp_path, typed=b"", timeout=50)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def broker(home: Home, relay: Relay, system: StandIns) -> Iterator[CannedBroker]:
    """The broker that the manager is taken to have started: its pid is this process's."""
    assert relay(system, "init", "--name", "laptop").returncode == 0
    canned = CannedBroker()
    with serving(home, canned):
        yield canned


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """What it printed, as JSON."""
    return json.loads(done.stdout)


PID = os.getpid()

"""The command as a program, and a home for it, with or without a canned broker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.api.home import Home
from tests.api.canned_broker import CannedBroker, serving

Relay = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "relay"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "h")


@pytest.fixture
def environment(home: Home) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("RELAY_", "NO_COLOR"))}
    return plain | {"RELAY_HOME": home.path, "USER": "ann", "LOGNAME": "ann"}


@pytest.fixture
def relay(environment: dict[str, str], tmp_path: Path) -> Relay:
    """Run `relay WORDS`; gives back status, stdout and stderr."""

    def run(*words: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words], input=typed, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=30
        )

    return run


@pytest.fixture
def broker(home: Home) -> Iterator[CannedBroker]:
    canned = CannedBroker()
    with serving(home, canned):
        yield canned

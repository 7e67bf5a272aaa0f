"""The lock of a home: one broker at a time holds it, and what a killed one was just starting for a moment more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import daemon
from relay.api.home import Home
from relay.core.errors import Code, LocalFault
from relay.testing.processes import wait_until

KILLED = """
import os, signal, sys
from relay import daemon
from relay.api.home import Home
with daemon._only_one(Home(sys.argv[1])):
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    print("held", flush=True)
    sys.stdin.read()
    os._exit(0)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(str(tmp_path))


@pytest.fixture
def starting(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """A broker that was killed, and a child of it that has its lock until its input ends."""
    words = [sys.executable, "-c", KILLED, home.path]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        process.wait()
        yield process
        process.stdin.close()
        wait_until(lambda: process.stdout.read() == b"", 10, "the child to be gone")  # type: ignore[union-attr]


def _taken(home: Home) -> str:
    with daemon._only_one(home):
        return Path(home.lock).read_text()


async def test_what_a_killed_broker_was_starting_is_waited_for(
    home: Home, starting: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "DYING_S", 30.0)
    taking = asyncio.create_task(asyncio.to_thread(_taken, home))
    await asyncio.sleep(0.1)
    assert not taking.done()
    assert starting.stdin is not None
    starting.stdin.close()
    assert await taking == f"{os.getpid()}\n"


def test_for_a_moment_only(home: Home, starting: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "DYING_S", 0.1)
    with pytest.raises(LocalFault) as refused:
        _taken(home)
    assert refused.value.code is Code.ALREADY_RUNNING


def test_one_that_lives_is_not_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "DYING_S", 3_600.0)
    with daemon._only_one(home), pytest.raises(LocalFault):
        _taken(home)
    assert _taken(home) == f"{os.getpid()}\n"

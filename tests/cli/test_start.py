"""What a command may import: the price of every start. Times are measured by the bench, the causes are kept here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.api.canned_broker import CannedBroker

DEAR = {"typer", "click", "rich", "asyncio", "dataclasses", "inspect", "pathlib", "socket", "subprocess", "typing"}
DEAR |= {"http", "ssl", "urllib", "tomllib", "tomlkit", "platformdirs", "hashlib", "nacl", "cryptography", "msgpack"}
PROGRAM = """
import sys
from relay.cli.main import main
status = main(sys.argv[1:])
sys.stderr.write("\\n" + " ".join(sys.modules))
"""


def _imported(environment: dict[str, str], words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words.split()], capture_output=True, text=True, env=environment, timeout=30
    )
    assert done.stdout, done.stderr
    return set(done.stderr.splitlines()[-1].split())


STARTS = ["--help", "spawn --help", "ps --json", "spawn a shell x --wait", "logs build", "status --short"]


@pytest.mark.parametrize("words", STARTS)
def test_a_start_imports_nothing_dear(environment: dict[str, str], broker: CannedBroker, words: str) -> None:
    broker.log = [{"at": "", "stream": "out", "data": "x", "next": 1}]
    assert not _imported(environment, words) & DEAR


def test_help_and_parsing_import_next_to_nothing(environment: dict[str, str]) -> None:
    ours = {name for name in _imported(environment, "--help") if name.startswith("relay")}
    assert ours == {"relay", "relay.cli", "relay.cli.main", "relay.cli.parsing", "relay.cli.surface"}


@pytest.mark.parametrize("words", ["completion words -- relay show b", "completion bash"])
def test_a_key_pressed_for_completion_loads_little(
    environment: dict[str, str], broker: CannedBroker, words: str
) -> None:
    assert not _imported(environment, words) & DEAR


@pytest.mark.parametrize("words", ["ps --all", "show build"])
def test_a_table_costs_little_more(environment: dict[str, str], broker: CannedBroker, words: str) -> None:
    assert not _imported(environment, words) & DEAR

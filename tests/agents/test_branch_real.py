"""What the real claude and codex wrote in a tree that came along is a branch of the one that it came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.testing import command
from tests.agents.bench import Bench
from tests.agents.speech import Text, Tool
from tests.e2e.scene import relay_json
from tests.trees.ground import git, repository

pytestmark = [pytest.mark.agents, pytest.mark.timeout(120)]
WRITES = {
    "claude": Tool("Bash", {"command": "echo hello > hello.txt", "description": "writes it"}),
    "codex": Tool("exec_command", {"cmd": "echo hello > hello.txt"}),
}


@pytest.mark.parametrize("agent", WRITES)
def test_a_file_that_was_really_written_comes_back_as_a_branch(bench: Bench, tmp_path: Path, agent: str) -> None:
    bench.scene.grant("--agent", "claude", "--agent", "codex", "--mode", "full", "--verb", "view", "--dir", "new")
    bench.stub.plays(WRITES[agent], Text("I wrote it."))
    here = repository(tmp_path / "project")
    (here / "dirty").write_text("not committed\n")
    words = ["--json", "spawn", "-", agent, "Write hello.txt", "--broker", "vps", "--here", "--mode", "full", "--wait"]
    ran = command.run(words, bench.scene.laptop.environment(), here, typed=None, timeout=90)
    found = json.loads(ran.stdout)
    assert (found["state"], found["result"]["summary"]) == ("completed", "I wrote it."), (found, ran.stderr)
    branch = found["result"]["branch"]
    assert branch.startswith("relay/") and "1 file changed" in found["result"]["diffstat"]
    assert not (here / "hello.txt").exists()
    pulled = command.run(["pull", found["id"]], bench.scene.laptop.environment(), here, typed=None, timeout=60)
    assert pulled.returncode == 0, pulled.stderr
    assert git(here, "show", f"{branch}:hello.txt") == "hello" and (here / "dirty").read_text() == "not committed\n"
    assert relay_json(bench.scene.laptop, "show", found["id"])["place"]["kind"] == "git"

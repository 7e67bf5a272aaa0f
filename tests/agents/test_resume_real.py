"""An earlier session of the real claude and codex is gone on with: the model sees what was said before."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from relay.core.errors import Code
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.spawn.agents.agent import Agent, Finding
from relay.spawn.agents.claude import Claude
from relay.spawn.agents.codex import Codex
from tests.agents.bench import CODEX, programs
from tests.agents.speech import Text
from tests.agents.stub import Stub

pytestmark = [pytest.mark.agents, pytest.mark.timeout(120)]
AGENTS = [Claude(), Codex()]


def environment(stub: Stub, home: Path) -> dict[str, str]:
    """What an agent needs to find the stub and nothing else."""
    (home / ".codex").mkdir(exist_ok=True)
    (home / ".codex" / "config.toml").write_text(CODEX.format(url=stub.url, retries=1))
    return {
        "PATH": os.pathsep.join([*programs(), os.environ["PATH"]]),
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": stub.url,
        "ANTHROPIC_API_KEY": "a-key-of-nobody",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "STUB_KEY": "a-key-of-nobody",
    }


def ran(agent: Agent, task: str, cwd: Path, env: dict[str, str], n: int = 1, resume: str | None = None) -> Finding:
    """What an agent says of its end, run as the shim runs it."""
    request = SpawnRequest(
        id="abcdefghij234567", name="coder", agent=agent.name, task=task, created=1, expires=2
    )
    command = agent.command(request, n, resume)
    done = subprocess.run(
        command.argv, input=(command.stdin or "").encode(), cwd=cwd, env=env, capture_output=True, timeout=60
    )
    reader = agent.reader()
    reader.feed(0, done.stdout)
    reader.feed(1, done.stderr)
    return reader.finding(done.returncode)


@pytest.mark.parametrize("agent", AGENTS, ids=lambda each: each.name)
def test_a_session_is_gone_on_with(agent: Agent, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    with Stub(Text("I remember the word heron.")) as stub:
        env = environment(stub, home)
        first = ran(agent, "The word is heron", work, env)
        assert (first.state, first.code) == (State.COMPLETED, None) and first.session
        place = agent.session_place(first.session, str(work.resolve()), env)
        assert place is not None and len(list(Path(place.root).glob(place.main))) == 1
        again = ran(agent, "Which word?", work, env, 2, first.session)
        assert (again.state, again.session) == (State.COMPLETED, first.session)
        assert "The word is heron" in stub.requests[-1].text and "Which word?" in stub.requests[-1].text


@pytest.mark.parametrize("agent", AGENTS, ids=lambda each: each.name)
def test_an_unknown_session_is_no_success(agent: Agent, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Stub(Text("Done.")) as stub:
        found = ran(agent, "x", tmp_path, environment(stub, home), 1, "0f7a4c1e-54f8-4d0a-9a3e-1d4f1f5f0001")
        assert (found.state, found.code) == (State.FAILED, Code.AGENT_NO_SESSION) and stub.requests == []

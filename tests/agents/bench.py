"""Two brokers, one of which has the real programs of agents on its PATH, and a stub of the models that they ask."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.testing import command
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.agents.stub import Step, Stub
from tests.e2e.scene import Scene, relay_json

PLACE = Path(os.environ.get("AGENTS", ".agents")).resolve()
BIN = "node_modules/.bin"
WITHIN = 90.0
CODEX = """
model = "stub-1"
model_provider = "stub"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
env_key = "STUB_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = {retries}
"""


GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"maxAttempts": 2, "disableAutoUpdate": True},
}
QUIET = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")


def opencode(url: str) -> dict[str, Any]:
    """opencode's configuration: the stub is its only provider."""
    options = {"baseURL": f"{url}/v1", "apiKey": "a-key-of-nobody"}
    models = {"stub-1": {"name": "stub-1", "tool_call": True}}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "stub", "options": options, "models": models}
    return {"autoupdate": False, "model": "stub/stub-1", "small_model": "stub/stub-1", "provider": {"stub": provider}}


def programs() -> list[str]:
    """The folders that have the agents' programs."""
    npm = (PLACE / "main" / BIN, PLACE / "all" / BIN, PLACE / "all" / "node_modules" / "opencode-linux-x64" / "bin")
    pip = (PLACE / f"py-{each}" / "programs" for each in ("aider", "llm"))
    return [str(each) for each in (*npm, *pip) if each.is_dir()]


def models_of_llm(url: str) -> str:
    """What llm is told of models: Groq's interface is OpenAI's, and its plugin asks one root alone."""
    names = {"stub-1": "stub-1", "groq/llama-3.3-70b-versatile": "llama-3.3-70b-versatile"}
    known = [f'- model_id: {each}\n  model_name: {name}\n  api_base: "{url}/v1"\n' for each, name in names.items()]
    return "".join(known)


@dataclass
class Bench:
    """A scene, and the stub of this test.

    Attributes:
        scene: `laptop` asks, `vps` runs.
        stub: the models.
        home: the home folder that agents of `vps` have.
    """

    scene: Scene
    stub: Stub
    home: Path

    def run(self, agent: str, task: str, *options: str, status: int | None = None) -> dict[str, Any]:
        """Have vps run an agent, and wait for its end; the spawn's document."""
        words = self.scene.words(agent, task, options=options)
        return self.waited(*words, *(() if "--dry-run" in options else ("--wait",)), status=status)

    def waited(self, *words: str, status: int | None = None, on: Node | None = None) -> dict[str, Any]:
        """The document of a command that waits for an agent, which may take its 90 s on a busy machine."""
        node = on or self.scene.laptop  # not by `relay`: what an agent printed at its end may well be a traceback
        done = command.run(["--json", *words], node.environment(), node.scratch, typed=None, timeout=100)
        assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def begin(self, agent: str, task: str, *options: str) -> str:
        """Have vps run an agent; the spawn's id."""
        return str(relay_json(self.scene.laptop, *self.scene.words(agent, task, options=options))["id"])

    def settle(self, **claude: str) -> None:
        """Point the agents of vps at the stub; further variables are claude's."""
        own = {
            "ANTHROPIC_BASE_URL": self.stub.url,
            "ANTHROPIC_API_KEY": "a-key-of-nobody",
            "CLAUDE_CODE_MAX_RETRIES": "3",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        } | claude
        lines = ["[environment]", f'HOME = "{self.home}"', "[agents.claude.environment]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in own.items() if value]
        lines += ["[agents.codex.environment]", f'CODEX_HOME = "{self.home}/.codex"', 'STUB_KEY = "a-key-of-nobody"']
        lines += ["[agents.gemini.environment]", f'GOOGLE_GEMINI_BASE_URL = "{self.stub.url}"']
        lines += ['GEMINI_API_KEY = "a-key-of-nobody"']
        lines += ["[agents.opencode.environment]", f'OPENCODE_CONFIG = "{self.home}/opencode.json"']
        lines += [f'OPENCODE_DISABLE_{each} = "1"' for each in QUIET]
        openai = [f'OPENAI_API_BASE = "{self.stub.url}/v1"', 'OPENAI_API_KEY = "a-key-of-nobody"']
        lines += ["[agents.aider.environment]", *openai, 'LITELLM_LOCAL_MODEL_COST_MAP = "True"']
        for agent in ("llm", "groq"):
            lines += [f"[agents.{agent}.environment]", f'LLM_USER_PATH = "{self.home}/llm"', openai[1]]
        (self.home / "llm").mkdir(exist_ok=True)
        (self.home / "llm" / "extra-openai-models.yaml").write_text(models_of_llm(self.stub.url))
        (self.home / ".gemini").mkdir(exist_ok=True)
        (self.home / ".gemini" / "settings.json").write_text(json.dumps(GEMINI))
        (self.home / "opencode.json").write_text(json.dumps(opencode(self.stub.url)))
        file = self.scene.vps.home / "agents.toml"
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o600)
        self.settle_codex()

    def settle_codex(self, retries: int = 3) -> None:
        """The provider of codex, which may retry a stream so often."""
        (self.home / ".codex").mkdir(exist_ok=True)
        (self.home / ".codex" / "config.toml").write_text(CODEX.format(url=self.stub.url, retries=retries))

    def said(self, spawn: str) -> list[str]:
        """The lines of progress that vps told of a spawn."""
        words = relay_events(self.scene, spawn)
        return [str(each["text"]) for each in words]


def logged_in(bench: Bench, agent: str) -> bool | None:
    """What vps says of the login of an agent."""
    said = relay_json(bench.scene.laptop, "agents", "--broker", "vps")[0]["agents"]
    found: bool | None = next(each["logged_in"] for each in said if each["name"] == agent)
    return found


def relay_events(scene: Scene, spawn: str) -> list[dict[str, Any]]:
    """What vps told of the output of a spawn."""
    done = scene.vps.relay("events", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [each for each in events if each["kind"] == "spawn.log" and each["spawn"] == spawn]


@contextmanager
def made(*agents: str) -> Iterator[Scene]:
    """A pair of brokers that find the programs, with a grant for these agents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([*programs(), os.environ["PATH"]]))
        missing = [each for each in agents if shutil.which(each) is None]
        assert not missing, f"{', '.join(missing)} not found: make agents"
        # not below /tmp by its usual name: codex makes no helpers there
        with Mesh.scratch("relay-agents-") as mesh:
            scene = Scene.made(mesh)
            words = [word for agent in agents for word in ("--agent", agent)]
            scene.grant(*words, "--mode", "full", "--verb", "view")
            yield scene
            assert "Traceback" not in scene.vps.log() + scene.laptop.log()


@contextmanager
def bench_on(scene: Scene, *steps: Step) -> Iterator[Bench]:
    """A bench for one test."""
    home = scene.mesh.folder / "home"
    home.mkdir(exist_ok=True)
    with Stub(*steps) as stub:
        bench = Bench(scene, stub, home)
        bench.settle()
        yield bench

"""A broker with an agent that asks: a scripted one, for the seam by which an agent's own protocol asks a person.

    python -m relay.testing.asking_agent --home DIR ...

The agent `asker` is added to those of this process, which is else `relay.daemon` with the pace of `clocked`. Its task
is a JSON list of questions, or of lists of such as are asked at once; it asks them one after the other, and writes what
it was answered.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.broker import housekeeping
from relay.core import delivery
from relay.core.questions import Asked, Reply
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.spawn.agents import registry
from relay.spawn.agents.agent import Command, Finding, Probe, Reader, SessionPlace
from relay.spawn.agents.asking import AgentQuestion

MARK = "ASK "
LAUNCHER = (sys.executable, "-m", "relay.testing.asking_agent")
_SCRIPT = """
import json, sys
for each in json.loads(sys.argv[1]):
    at_once = each if isinstance(each, list) else [each]
    for one in at_once:
        print("ASK " + json.dumps(one), flush=True)
    for one in at_once:
        print("HEARD " + sys.stdin.readline().strip(), flush=True)
"""


class AskerReader:
    """Reads the questions out of the asker's output."""

    def __init__(self) -> None:
        self._rest = b""
        self._asked: list[AgentQuestion] = []

    def feed(self, stream: int, data: bytes) -> list[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = [line.decode() for line in lines]
        self._asked += [_question(json.loads(each[len(MARK) :])) for each in found if each.startswith(MARK)]
        return [each for each in found if not each.startswith(MARK)]

    def finding(self, exit_code: int) -> Finding:
        return Finding(State.COMPLETED if exit_code == 0 else State.FAILED)

    def asked(self) -> list[AgentQuestion]:
        taken, self._asked = self._asked, []
        return taken

    def withdrawn(self) -> list[str]:
        return []


def _question(asked: dict[str, Any]) -> AgentQuestion:
    return AgentQuestion(
        asked["name"], Asked(asked["kind"]), asked["text"], asked.get("tool"), asked.get("input"), asked.get("mode")
    )


class Asker:
    """The agent."""

    name = "asker"

    def probe(self) -> Probe | None:
        return None

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        return Command((sys.executable, "-c", _SCRIPT, request.task))

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return None

    def reader(self) -> Reader:
        return AskerReader()

    def reply(self, question: AgentQuestion, verb: Reply, text: str) -> bytes:
        return f"{question.name} {verb} {text}".rstrip().encode() + b"\n"

    def message(self, text: str) -> bytes:
        return f"message {text}\n".encode()


def _know_asker() -> None:
    made = registry.Agents.__init__

    def with_asker(self: registry.Agents, path: Path, allowed: tuple[str, ...] = ()) -> None:
        made(self, path, allowed)
        self._presets["asker"] = Asker()

    registry.Agents.__init__ = with_asker  # type: ignore[method-assign]


def main() -> None:
    """Add the agent, then be the broker."""
    _know_asker()
    housekeeping.SWEEP_EVERY_S = housekeeping.LOOK_EVERY_S = 1.0
    delivery.RESEND_AFTER = 2_000
    sys.argv = ["relay.daemon", *sys.argv[1:]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

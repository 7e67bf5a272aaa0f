"""A runner as an agent: `relay spawn NAME RUNNER TASK` calls a function that a program of this machine offers.

What runs under the shim is a small program (`calling`) that makes the call, follows it, and ends as it does. Its words
on stderr are its own; what the runner says is on stdout, so that no text of a runner's can pass for an end.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.errors import Code, Misuse
from relay.core.field_checks import MAX_TIMEOUT_S
from relay.core.spawning import MAX_SUMMARY, SpawnRequest
from relay.core.states import State
from relay.spawn.agents.agent import (
    Command,
    Finding,
    Probe,
    Reader,
    SessionPlace,
    cannot,
    no_resume,
    no_turns,
    required_task,
)
from relay.spawn.agents.calling import AWAITING, DONE, OUTCOME

TASK, CWD = "task", "cwd"
LONGER_S = 60.0  # the attempt's own timeout is to be the first
MAX_LINE = 64 * 1024


def takes_task(definition: Mapping[str, Any]) -> bool:
    """Whether a runner of this definition can be given a task."""
    schema = definition.get("inputSchema")
    if not isinstance(schema, Mapping):
        return False
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    return TASK in properties and isinstance(required, list) and set(required) <= {TASK, CWD}


@dataclass(frozen=True, slots=True)
class RunnerAgent:
    """One runner.

    Attributes:
        name: the runner's.
        broker: the id of this broker, whose runner it is.
        takes_cwd: whether it wants to know the directory.
        program: what offers it calls itself.
    """

    name: str
    broker: str
    takes_cwd: bool
    program: str

    def probe(self) -> Probe | None:
        return Probe(sys.executable)  # what follows the call; whether its function is served is the call's affair

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_resume(self.name, resume)
        no_turns(self.name, request)
        if request.model:
            raise cannot(self.name, "take a model", "it is a function of a program", "leave --model away")
        if request.wishes.tty or request.wishes.stdin:
            raise Misuse(f"{self.name} reads no input", why="it is a function of a program", hint="leave --tty away")
        plan = {
            "operation": f"attempt/{request.id}-{attempt}",
            "broker": self.broker,
            "tool": self.name,
            "arguments": {TASK: required_task(self.name, request.task)},
            "cwd": CWD if self.takes_cwd else None,
            "timeout_s": min(MAX_TIMEOUT_S, (request.timeout_s or MAX_TIMEOUT_S) + LONGER_S),
        }
        words = (sys.executable, "-I", "-m", "relay.spawn.agents.calling")
        return Command(words, stdin=f"{json.dumps(plan)}\n", stop_signal=signal.SIGINT)

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return None

    def reader(self) -> Reader:
        return CallReader()


class CallReader:
    """Reads what `calling` writes."""

    def __init__(self) -> None:
        self._text = b""
        self._rest = b""
        self._last: dict[str, Any] | None = None

    def feed(self, stream: int, data: bytes) -> list[str]:
        if stream == 0:
            self._text = (self._text + data)[: 4 * MAX_SUMMARY]
            return []
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:MAX_LINE]
        return [text for line in lines if (text := self._line(line.decode("utf-8", "replace"))) is not None]

    def _line(self, line: str) -> str | None:
        if not line.startswith(OUTCOME):
            return line
        try:
            self._last = json.loads(line.removeprefix(OUTCOME))
        except ValueError:
            return line
        return None

    def finding(self, exit_code: int) -> Finding:
        """As the last word of the program says; without one nobody knows that it is done."""
        summary, said = self._text.decode("utf-8", "replace")[:MAX_SUMMARY], self._last
        if said is None:
            why = f"the call was not seen to its end: what followed it ended with exit code {exit_code}"
            return Finding(State.LOST, summary, Code.RUNNER_LOST, why, "relay tools calls, on that machine")
        if said.get("outcome") in (DONE, AWAITING) and exit_code == 0:
            return Finding(State.COMPLETED, summary, awaits=said["outcome"] == AWAITING)
        code, known = str(said.get("code")), Code._value2member_map_
        found = Code(code) if code in known else Code.RUNNER_FAILED
        hint = str(said.get("hint") or "relay logs {id}")
        state = State.LOST if found is Code.RUNNER_LOST else State.FAILED
        return Finding(state, summary, found, str(said.get("why", "")), hint)

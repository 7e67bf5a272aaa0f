"""`opencode`: its JSON events read into progress and a result (measured with 1.18).

It reads its task from standard input: a task among its words it would quote anew. A denied tool exits 0 without a
final text, so that success takes a step that ended because the model had no more to say.
"""

from __future__ import annotations

from typing import Any

from relay.core.errors import Code
from relay.core.spawning import MAX_SUMMARY, SpawnRequest
from relay.core.states import State
from relay.spawn.agents import faults
from relay.spawn.agents.agent import Command, Finding, Probe, Reader, checked_model, no_turns
from relay.spawn.agents.faults import Fault
from relay.spawn.agents.oneshot import Sessionless, command_for, going_on
from relay.spawn.agents.rules import by_exit_code
from relay.spawn.agents.streams import JsonReader, numbers, plain, table, text_of

_MODES = {"plan": ["--agent", "plan"], "edit": [], "full": ["--auto"]}
_LOG_IN = "opencode auth login"
_DENIED = ("permission", "rejected", "denied")


class Opencode(Sessionless):
    """Its sessions are in a database; `opencode export` has them."""

    name = "opencode"

    def probe(self) -> Probe | None:
        return Probe("opencode", ("--version",), log_in=_LOG_IN)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_turns(self.name, request)
        argv = ["opencode", "run", "--format", "json", *_MODES[request.mode], *going_on("--session", resume)]
        return command_for(self.name, argv, request, "--model")

    def terminal(self, request: SpawnRequest, session: str) -> Command:
        """OpenCode as a person knows it, in that session."""
        model = ("--model", checked_model(request.model)) if request.model else ()
        return Command(("opencode", *model, "--session", session))

    def reader(self) -> Reader:
        return OpencodeReader()


class OpencodeReader(JsonReader):
    """Reads step_start, text, tool_use, step_finish and error events."""

    def __init__(self) -> None:
        super().__init__("opencode")
        self._session: str | None = None
        self._said = ""
        self._reason: str | None = None
        self._fault: Fault | None = None
        self._denied: list[str] = []
        self._usage: dict[str, float] = {}

    def event(self, event: dict[str, Any]) -> list[str]:
        self._session = text_of(event.get("sessionID")) or self._session
        kind, part = event.get("type"), table(event.get("part"))
        if kind == "text":
            self._said = plain(str(part.get("text") or "").strip(), MAX_SUMMARY)
            return [self._said[:200]] if self._said else []
        if kind == "step_start":
            self._reason = None
        if kind == "tool_use":
            return self._tool(part)
        if kind == "step_finish":
            self._reason = text_of(part.get("reason"))
            self.final()
            tokens = numbers(part.get("tokens"), {"input": "input_tokens", "output": "output_tokens"})
            self._usage = {name: self._usage.get(name, 0) + count for name, count in tokens.items()}
        elif kind == "error":
            error = table(event.get("error"))
            data = table(error.get("data"))
            said = str(data.get("message") or error.get("name") or "")
            self._fault = faults.fault_in("opencode", said, _LOG_IN, data.get("statusCode"))
        return []

    def _tool(self, part: dict[str, Any]) -> list[str]:
        state, name = table(part.get("state")), plain(part.get("tool") or "a tool", 80)
        said = str(state.get("error") or "").lower()
        if state.get("status") == "error" and any(word in said for word in _DENIED):
            self._denied = [*self._denied, name][:16]
        return [f"uses {name}"]

    def verdict(self, exit_code: int) -> Finding:
        fault = self._fault or self._end(exit_code)
        common: dict[str, Any] = {"session": self._session, "usage": self._usage, "summary": self._said}
        if fault is None:
            return by_exit_code("opencode", exit_code, **common)
        return Finding(State.FAILED, code=fault.code, why=fault.why, hint=fault.hint, **common)

    def _end(self, exit_code: int) -> Fault | None:
        if self._denied:
            return faults.denied("opencode", ", ".join(sorted(set(self._denied))))
        if self._reason == "stop":
            return None
        last = self._errors.line()
        why = f"opencode ended with exit code {exit_code}, and its last step with {self._reason or 'no reason'}"
        return Fault(Code.AGENT_NO_RESULT, f"{why}; last: {last}" if last else why)

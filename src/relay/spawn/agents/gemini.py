"""`gemini`: the Gemini CLI without a terminal, its stream-json read into progress and a result (measured with 0.61).

Denied tools exit 0: they are `tool_result` events with the status `error` and a type that says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from relay.core.errors import Code
from relay.core.spawning import MAX_SUMMARY, SpawnRequest
from relay.core.states import State
from relay.spawn.agents import faults
from relay.spawn.agents.agent import (
    Command,
    Finding,
    Probe,
    Reader,
    SessionPlace,
    checked_model,
    checked_session,
    no_turns,
)
from relay.spawn.agents.oneshot import command_for
from relay.spawn.agents.rules import by_exit_code
from relay.spawn.agents.streams import JsonReader, numbers, plain, table, text_of

_MODES = {"plan": "plan", "edit": "auto_edit", "full": "yolo"}
_NAMESPACE = uuid.UUID("b7e5c1b0-6b0a-4f7e-9d0c-2f3c9f6a7d02")
_LOG_IN = "gemini   (choose a login in it, or set GEMINI_API_KEY)"
_DENIED = ("denied", "not allowed", "not available in non-interactive", "policy")
_MAX_TURNS_STATUS = 53


class Gemini:
    """The task goes by standard input; an empty prompt makes it read that."""

    name = "gemini"

    def probe(self) -> Probe | None:
        return Probe("gemini", ("--version",), log_in=_LOG_IN)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_turns(self.name, request)
        argv = ["gemini", "--output-format", "stream-json", "--skip-trust", "--approval-mode", _MODES[request.mode]]
        if resume is None:
            argv += ["--session-id", str(uuid.uuid5(_NAMESPACE, f"{request.id}/{attempt}"))]
        else:
            argv += ["--resume", checked_session(resume)]
        return command_for(self.name, argv, request, "--model")

    def terminal(self, request: SpawnRequest, session: str) -> Command:
        """Gemini CLI as a person knows it, in that session."""
        model = ("--model", checked_model(request.model)) if request.model else ()
        return Command(("gemini", "--skip-trust", "--approval-mode", _MODES[request.mode], *model, "--resume", session))

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        root = f"{environment.get('HOME', '')}/.gemini"
        return SessionPlace(root, f"tmp/*/chats/session-*{session[:8]}*", ("projects.json",))

    def reader(self) -> Reader:
        return GeminiReader()


class GeminiReader(JsonReader):
    """Reads init, message, tool_use, tool_result, error and result events."""

    def __init__(self) -> None:
        super().__init__("gemini")
        self._session: str | None = None
        self._model: str | None = None
        self._said: list[str] = []
        self._denied: list[str] = []
        self._tools: dict[str, str] = {}
        self._result: dict[str, Any] | None = None

    def event(self, event: dict[str, Any]) -> list[str]:
        kind = event.get("type")
        if kind == "init":
            self._session, self._model = text_of(event.get("session_id")), text_of(event.get("model"))
        elif kind == "message" and event.get("role") == "assistant":
            return self._message(event)
        elif kind == "tool_use":
            return self._tool_use(event)
        elif kind == "tool_result":
            self._tool_result(event)
        elif kind == "result":
            self._result = event
            self.final()
        return []

    def _message(self, event: dict[str, Any]) -> list[str]:
        text = plain(event.get("content") or "", MAX_SUMMARY)
        # pieces of one message come one after the other, each marked as a delta
        self._said = [*self._said[-200:], text] if event.get("delta") else [text]
        return [text.strip()[:200]] if text.strip() else []

    def _tool_use(self, event: dict[str, Any]) -> list[str]:
        name = plain(event.get("tool_name") or "a tool", 80)
        self._said = []
        if len(self._tools) < 1_000:
            self._tools[plain(event.get("tool_id"), 128)] = name
        return [f"uses {name}"]

    def _tool_result(self, event: dict[str, Any]) -> None:
        error = table(event.get("error"))
        said = f"{error.get('type', '')} {error.get('message', '')} {event.get('output', '')}".lower()
        if event.get("status") == "error" and any(word in said for word in _DENIED):
            self._denied = [*self._denied, self._tools.get(plain(event.get("tool_id"), 128), "a tool")][:16]

    def verdict(self, exit_code: int) -> Finding:
        common: dict[str, Any] = {"session": self._session, "model": self._model}
        if exit_code == _MAX_TURNS_STATUS:
            return _failed(faults.max_turns("gemini"), **common)
        if self._result is None:
            last = self._errors.line()
            if last and (fault := faults.fault_in("gemini", last, _LOG_IN)).code is not Code.AGENT_ERROR:
                return _failed(fault, **common)
            return self.no_result(exit_code, **common)
        common["usage"] = numbers(self._result.get("stats"))
        error = table(self._result.get("error"))
        if error or self._result.get("status") != "success":
            return _failed(faults.fault_in("gemini", str(error.get("message") or ""), _LOG_IN), **common)
        if self._denied:
            return _failed(faults.denied("gemini", ", ".join(sorted(set(self._denied)))), **common)
        return by_exit_code("gemini", exit_code, summary=plain("".join(self._said).strip(), MAX_SUMMARY), **common)


def _failed(fault: faults.Fault, **more: Any) -> Finding:
    return Finding(State.FAILED, code=fault.code, why=fault.why, hint=fault.hint, **more)

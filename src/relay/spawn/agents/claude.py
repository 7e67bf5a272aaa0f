"""`claude`: Claude Code without a terminal, its stream-json read into progress, questions and a result.

Success takes all of: exit code 0, a final `result` event, no error in it, no denied permission. The exit
code alone lies: a denied permission and an interrupted model call both exit 0 (measured with 2.1.x).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from relay.core.errors import Code
from relay.core.questions import Asked
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
    required_task,
)
from relay.spawn.agents.asking import AgentQuestion
from relay.spawn.agents.conducted import Conducted, Questions, conducted, spelled_choice
from relay.spawn.agents.conductor.claude import QUESTION
from relay.spawn.agents.conductor.lines import Cut
from relay.spawn.agents.faults import Fault
from relay.spawn.agents.streams import MAX_LINE, JsonReader, numbers, plain, table, tables, text_of

__all__ = ["MAX_LINE", "Claude", "StreamReader", "session_for"]

_PERMISSION = {"plan": "plan", "edit": "acceptEdits", "full": "bypassPermissions"}
_EDITS = frozenset({"Edit", "MultiEdit", "NotebookEdit", "Write", "ExitPlanMode"})
_NAMESPACE = uuid.UUID("5f0d3a39-6a53-4a84-9d5b-1a3c5a1f9c11")
_LOG_IN = "claude auth login"
_SETTINGS = (".claude/settings.json", ".claude/settings.local.json")  # apiKeyHelper, Bedrock, …: `auth status` says so
_LONG = 200  # a folder's encoded name is cut there, and a hash follows


class Claude(Conducted):
    """The task goes by standard input, so that no text can become an option."""

    name = "claude"

    def probe(self) -> Probe | None:
        # before 2.1.41 there was no `auth`, and the word would have been a task
        login, since = ("auth", "status"), (2, 1, 41)
        return Probe("claude", ("--version",), login, since, logged_in=_logged_in, log_in=_LOG_IN, beside=_SETTINGS)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        task = required_task(self.name, request.task)
        argv = ["claude", "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]
        argv += ["--permission-prompt-tool", "stdio", "--permission-mode", _PERMISSION[request.mode]]
        if resume is None:
            argv += ["--session-id", session_for(request.id, attempt)]
        else:
            argv += ["--resume", checked_session(resume)]
        if request.model:
            argv += ["--model", checked_model(request.model)]
        if request.wishes.max_turns is not None:
            argv += ["--max-turns", str(request.wishes.max_turns)]
        return conducted("claude", argv, task)

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        root = environment.get("CLAUDE_CONFIG_DIR") or f"{environment.get('HOME', '')}/.claude"
        folder = re.sub(r"[^A-Za-z0-9]", "-", cwd)
        folder = folder if len(folder) <= _LONG else f"{folder[:_LONG]}-*"
        beside = (f"projects/{folder}/{session}/**", f"file-history/{session}/**")
        return SessionPlace(root, f"projects/{folder}/{session}.jsonl", beside)

    def terminal(self, request: SpawnRequest, session: str) -> Command:
        """Claude Code as a person knows it, in that session."""
        model = ["--model", checked_model(request.model)] if request.model else []
        words = ("claude", "--resume", session, "--permission-mode", _PERMISSION[request.mode], *model)
        return Command(words)

    def reader(self) -> Reader:
        return StreamReader()


def _logged_in(text: str) -> bool | None:
    """What `claude auth status` says; its exit status is no help, since every other failure has the same one."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    told = said.get("loggedIn") if isinstance(said, dict) else None
    return told if isinstance(told, bool) else None


def session_for(spawn: str, attempt: int) -> str:
    """The session id of an attempt: a UUID made from spawn and attempt, since a used one is refused."""
    return str(uuid.uuid5(_NAMESPACE, f"{spawn}/{attempt}"))


class StreamReader(JsonReader):
    """Reads claude's stream-json."""

    def __init__(self, agent: str = "claude", log_in: str = _LOG_IN) -> None:
        super().__init__(agent)
        self._log_in = log_in
        self._result: dict[str, Any] | None = None
        self._session: str | None = None
        self._began: str | None = None
        self._model: str | None = None
        self._last_retry = ""
        self._missing: list[str] = []
        self._limit: dict[str, Any] = {}
        self._questions = Questions()
        self.asked, self.withdrawn = self._questions.asked, self._questions.withdrawn

    def event(self, event: dict[str, Any]) -> list[str]:
        kind = event.get("type")
        if kind == "system" and event.get("subtype") == "init":
            self._began = text_of(event.get("session_id"))
        self._session = self._began or text_of(event.get("session_id")) or self._session
        if kind == "result":
            self._ends(event)
        elif kind == "assistant":
            self._last_retry = ""
            if not event.get("parent_tool_use_id"):
                self._result = None  # another turn, whose own result counts
            return _progress(event)
        elif kind == "system":
            return self._system(event)
        elif kind == "rate_limit_event":
            self._limit = table(event.get("rate_limit_info"))
        else:
            self._control(kind, event)
        return []

    def _ends(self, result: dict[str, Any]) -> None:
        session = text_of(result.get("session_id"))
        if self._began is None or session in (None, self._began):
            self._result = result
            self.final()

    def _system(self, event: dict[str, Any]) -> list[str]:
        if event.get("subtype") == "api_retry":
            status = event.get("error_status") or event.get("error")
            self._last_retry = faults.retrying(event.get("attempt"), event.get("max_retries"), status)
            return [self._last_retry]
        if event.get("subtype") == "init":
            self._model = text_of(event.get("model"))
            servers = tables(event.get("mcp_servers"))
            self._missing = [plain(each.get("name"), 80) for each in servers if each.get("status") == "failed"][:16]
        return []

    def _control(self, kind: object, event: dict[str, Any]) -> None:
        name = event.get("request_id")
        if not isinstance(name, str):
            return
        request = table(event.get("request"))
        if kind == "control_request" and request.get("subtype") == "can_use_tool":
            if isinstance(event, Cut):
                return  # the conductor refuses it
            self._questions.ask(_question(plain(name, 128), request))
        elif kind == "control_cancel_request":
            self._questions.withdraw(plain(name, 128))

    def verdict(self, exit_code: int) -> Finding:
        common: dict[str, Any] = {"session": self._session, "model": self._model, "notes": self._notes()}
        common["waited_for"] = self._last_retry
        if self._result is None:
            return self.no_result(exit_code, self._last_retry, **common)
        fault = self._fault(self._result, exit_code)
        return Finding(
            State.FAILED if fault else State.COMPLETED,
            summary=plain(self._result.get("result") or "", MAX_SUMMARY),
            code=fault.code if fault else None,
            why=fault.why if fault else "",
            hint=fault.hint if fault else "",
            usage=_usage(self._result),
            resets=self._resets() if fault and fault.code is Code.AGENT_USAGE_LIMIT else None,
            **common,
        )

    def _notes(self) -> tuple[str, ...]:
        return tuple(f"its MCP server {name} did not start: the tools of that were missing" for name in self._missing)

    def _resets(self) -> int | None:
        at = self._limit.get("resetsAt")
        return int(at * 1000) if isinstance(at, int | float) and 0 < at < 2**33 else None

    def _fault(self, result: dict[str, Any], exit_code: int) -> Fault | None:
        denials, subtype = result.get("permission_denials"), result.get("subtype")
        if subtype == "error_max_turns":
            return faults.max_turns(self._agent)
        if result.get("is_error") or subtype != "success":
            if self._limit.get("status") == "rejected":
                return faults.usage_limit(_error_words(result) or "its usage limit is reached")
            return faults.fault_in(self._agent, _error_words(result), self._log_in, result.get("api_error_status"))
        if denials:
            tools = sorted({str(each.get("tool_name", "?")) for each in tables(denials)})
            return faults.denied(self._agent, ", ".join(tools))
        if exit_code != 0:
            return Fault(Code.EXIT_NONZERO, f"{self._agent} gave a result and then exit code {exit_code}")
        return None


def _question(name: str, request: dict[str, Any]) -> AgentQuestion:
    tool, given = plain(request.get("tool_name") or "a tool", 128), request.get("input")
    if tool == QUESTION:
        text = spelled_choice(tables(table(given).get("questions"))) or "it wants to know something"
        return AgentQuestion(name, Asked.QUESTION, plain(text, 4000), tool, given)
    what = plain(request.get("description") or "", 500)
    mode = "edit" if tool in _EDITS else "full"
    return AgentQuestion(
        name, Asked.PERMISSION, f"claude wants to use {tool}{f': {what}' if what else ''}", tool, given, mode
    )


def _progress(event: dict[str, Any]) -> list[str]:
    parts = tables(table(event.get("message")).get("content"))
    return [word for part in parts if (word := _part_in_words(part))]


def _part_in_words(part: dict[str, Any]) -> str:
    if part.get("type") == "text":
        return plain(str(part.get("text", "")).strip(), 200)
    if part.get("type") == "tool_use":
        return f"uses {plain(part.get('name', 'a tool'), 80)}"
    return ""


def _error_words(result: dict[str, Any]) -> str:
    errors = result.get("errors")
    return str(result.get("result") or "") or (str(errors[0]) if isinstance(errors, list) and errors else "")


def _usage(result: dict[str, Any]) -> dict[str, float]:
    return numbers(result.get("usage")) | numbers(result, {"num_turns": "turns", "total_cost_usd": "cost_usd"})



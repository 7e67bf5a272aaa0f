"""`codex`: its app-server, run for one task by a conductor; what it notifies read into progress, questions, a result.

The exit code says nothing here: the server exits 0 whatever became of the turn. `turn/completed` has its status, and
a request that was declined is an item of that status (measured with 0.171).
"""

from __future__ import annotations

import contextlib
import json
import re
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
    no_turns,
    required_task,
)
from relay.spawn.agents.asking import AgentQuestion
from relay.spawn.agents.conducted import Conducted, Questions, conducted, spelled_choice
from relay.spawn.agents.conductor import codex as protocol
from relay.spawn.agents.conductor.lines import Cut
from relay.spawn.agents.faults import Fault
from relay.spawn.agents.streams import JsonReader, numbers, plain, table, tables, text_of

_LOG_IN = "codex login"
_POLICY = {
    "plan": {"approvalPolicy": "on-request", "sandbox": "read-only"},
    "edit": {"approvalPolicy": "on-request", "sandbox": "workspace-write"},
    "full": {"approvalPolicy": "never", "sandbox": "danger-full-access"},
}
# `codex login status` knows nothing of a provider with a key of its own
_ASKS = "".join(json.dumps(word) + "\n" for word in (protocol.HELLO, *protocol.WHO))
_RETRY = re.compile(r"(\d+)/(\d+)")
_TOKENS = {
    "inputTokens": "input_tokens",
    "cachedInputTokens": "cached_input_tokens",
    "outputTokens": "output_tokens",
    "reasoningOutputTokens": "reasoning_output_tokens",
}


class Codex(Conducted):
    """Threads are its sessions."""

    name = "codex"

    def probe(self) -> Probe | None:
        words, since = ("app-server",), (0, 1, 0)
        return Probe("codex", ("--version",), words, since, _ASKS, _has_answered, _logged_in, _LOG_IN)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        task = required_task(self.name, request.task)
        no_turns(self.name, request)
        thread: dict[str, str] = dict(_POLICY[request.mode])
        if request.model:
            thread["model"] = checked_model(request.model)
        going_on = None if resume is None else checked_session(resume)
        return conducted("codex", ["codex", "app-server"], task, thread=thread, resume=going_on)

    def terminal(self, request: SpawnRequest, session: str) -> Command:
        """Codex as a person knows it, in that thread."""
        policy = _POLICY[request.mode]
        words = ("codex", "resume", "-s", policy["sandbox"], "-a", policy["approvalPolicy"])
        model = ("-m", checked_model(request.model)) if request.model else ()
        return Command((*words, *model, session))

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        root = environment.get("CODEX_HOME") or f"{environment.get('HOME', '')}/.codex"
        return SessionPlace(root, f"sessions/*/*/*/rollout-*-{session}.jsonl")

    def reader(self) -> Reader:
        return ServerReader()


def _account(text: str) -> dict[str, Any] | None:
    """What its app-server says of the account, as it says it to the conductor; None where it has not yet."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            word = table(json.loads(line))
            if word.get("id") == protocol.ACCOUNT:
                return table(word.get("result"))
    return None


def _has_answered(text: str) -> bool:
    return text.endswith("\n") and _account(text) is not None


def _logged_in(text: str) -> bool | None:
    account = _account(text)
    if account is None:
        return None
    if account.get("account"):
        return True
    # a provider of config.toml with a key of its own needs no login: whether that is right a task finds out
    return False if account.get("requiresOpenaiAuth") is True else None


class ServerReader(JsonReader):
    """Reads the app-server's notifications, and what it asks."""

    def __init__(self) -> None:
        super().__init__("codex")
        self._thread: str | None = None
        self._model: str | None = None
        self._turn: dict[str, Any] | None = None
        self._failed: Fault | None = None
        self._said = ""
        self._declined: list[str] = []
        self._usage: dict[str, float] = {}
        self._turns = 0
        self._last_retry = ""
        self._retries = 0
        self._questions = Questions()
        self.asked, self.withdrawn = self._questions.asked, self._questions.withdrawn

    def event(self, event: dict[str, Any]) -> list[str]:
        method, params = event.get("method"), table(event.get("params"))
        if not isinstance(method, str):
            self._answer(event)
            return []
        if "id" in event and isinstance(event, Cut):
            return []  # the conductor refuses it
        if "id" in event:
            self._asks(method, str(event["id"]), params)
        elif method in ("item/started", "item/completed"):
            return self._item(method, table(params.get("item")))
        elif method == "error":
            return self._error(params)
        else:
            self._note(method, params)
        return []

    def _answer(self, event: dict[str, Any]) -> None:
        """To what the conductor asked of the server."""
        result = table(event.get("result"))
        if event.get("error") is not None:
            said = table(event["error"]).get("message") or "the app-server refused a request"
            self._failed = faults.fault_in("codex", str(said), _LOG_IN)
        elif event.get("id") == protocol.ACCOUNT and not result.get("account") and result.get("requiresOpenaiAuth"):
            self._failed = faults.fault_in("codex", "Not logged in", _LOG_IN)
        elif event.get("id") == protocol.THREAD:
            self._thread = text_of(table(result.get("thread")).get("id"))
            self._model = text_of(result.get("model")) or text_of(table(result.get("thread")).get("model"))

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "turn/completed" and text_of(params.get("threadId")) == self._thread:
            self._turn, self._turns = table(params.get("turn")), self._turns + 1
            self.final()
        elif method == "turn/started" and text_of(params.get("threadId")) == self._thread:
            self._turn = None
        elif method == "thread/tokenUsage/updated":
            self._usage = numbers(table(params.get("tokenUsage")).get("total"), _TOKENS)
        elif method == "serverRequest/resolved":
            self._questions.withdraw(plain(params.get("requestId"), 128))

    def _item(self, method: str, item: dict[str, Any]) -> list[str]:
        kind, over = item.get("type"), method == "item/completed"
        if kind == "agentMessage" and over:
            self._said = plain(str(item.get("text") or "").strip(), MAX_SUMMARY)
            return [self._said[:200]] if self._said else []
        if kind in ("commandExecution", "fileChange", "mcpToolCall"):
            if over and item.get("status") == "declined":
                self._declined = [*self._declined, _what(item)][:16]
            return [] if over else [f"uses {_what(item)}"]
        return []

    def _error(self, params: dict[str, Any]) -> list[str]:
        if not params.get("willRetry"):
            return []
        error = table(params.get("error"))
        tried = _RETRY.search(str(error.get("message") or ""))
        why = _status_in(error) or plain(error.get("additionalDetails"), 100)
        self._retries += 1
        attempt, most = (tried[1], tried[2]) if tried else (self._retries, protocol.MOST_UNREACHED)
        self._last_retry = faults.retrying(attempt, most, why)
        return [self._last_retry]

    def _asks(self, method: str, name: str, params: dict[str, Any]) -> None:
        known = (*protocol.APPROVALS, protocol.PERMISSIONS, protocol.QUESTION, protocol.ELICITATION)
        if method in known:
            self._questions.ask(_question(method, plain(name, 128), params))

    def verdict(self, exit_code: int) -> Finding:
        common: dict[str, Any] = {
            "session": self._thread,
            "waited_for": self._last_retry,
            "model": self._model,
            "usage": self._usage | ({"turns": self._turns} if self._turns else {}),
        }
        fault = self._failed or (self._fault(self._turn, exit_code) if self._turn is not None else None)
        if fault is None and self._turn is None:
            return self.no_result(exit_code, self._last_retry, **common)
        if fault is None:
            return Finding(State.COMPLETED, summary=self._said, **common)
        return Finding(State.FAILED, summary=self._said, code=fault.code, why=fault.why, hint=fault.hint, **common)

    def _fault(self, turn: dict[str, Any], exit_code: int) -> Fault | None:
        status, error = turn.get("status"), table(turn.get("error"))
        if status == "failed" or error:
            if error.get("codexErrorInfo") == "usageLimitExceeded":
                return faults.usage_limit(plain(error.get("message"), 500))
            return faults.fault_in("codex", str(error.get("message") or ""), _LOG_IN, _status_in(error))
        if status == "interrupted" and self._last_retry:
            return Fault(Code.AGENT_ERROR, f"its model was not reached; last: {self._last_retry}")
        if status != "completed":
            return Fault(Code.AGENT_NO_RESULT, f"the turn of codex is {plain(status, 40)}")
        if self._declined:
            return faults.denied("codex", ", ".join(self._declined))
        if exit_code != 0:
            return Fault(Code.EXIT_NONZERO, f"codex gave a result and then exit code {exit_code}")
        return None


def _status_in(error: dict[str, Any]) -> int | None:
    """The status of the model's interface: `{"codexErrorInfo": {KIND: {"httpStatusCode": 429}}}`."""
    for each in table(error.get("codexErrorInfo")).values():
        code = table(each).get("httpStatusCode")
        if type(code) is int:
            return code
    return None


def _what(item: dict[str, Any]) -> str:
    if item.get("type") == "fileChange":
        paths = [str(each.get("path")) for each in tables(item.get("changes"))]
        return plain(f"a change of {', '.join(paths)}", 80)
    return plain(item.get("command") or item.get("tool") or "a tool", 80)


def _question(method: str, name: str, params: dict[str, Any]) -> AgentQuestion:
    reason = plain(params.get("reason") or params.get("message") or "", 500)
    because = f": {reason}" if reason else ""
    if method == protocol.QUESTION:
        asked = spelled_choice(tables(params.get("questions"))) or "it wants to know something"
        return AgentQuestion(name, Asked.QUESTION, plain(asked, 4000), "request_user_input", params)
    if method == protocol.ELICITATION:
        return AgentQuestion(name, Asked.PERMISSION, f"a tool of codex asks{because}", "mcp", params, "full")
    if method == protocol.PERMISSIONS:
        return AgentQuestion(name, Asked.PERMISSION, f"codex wants more rights{because}", "permissions", params, "full")
    if method == protocol.APPROVALS[1]:
        text = f"codex wants to change files{because}"
        return AgentQuestion(name, Asked.PERMISSION, text, "fileChange", params, "edit")
    command = plain(params.get("command") or "a command", 500)
    given = {key: params[key] for key in ("command", "cwd", "reason") if key in params}
    return AgentQuestion(name, Asked.PERMISSION, f"codex wants to run {command}{because}", "command", given, "full")

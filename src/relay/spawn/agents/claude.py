"""`claude`: Claude Code without a terminal, its stream-json read into progress and a result.

Success takes all of: exit code 0, a final `result` event, no error in it, no denied permission. The exit
code alone lies: a denied permission and an interrupted model call both exit 0 (measured with 2.1.x).
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from relay.core.errors import Code, Misuse
from relay.core.spawning import MAX_SUMMARY, SpawnRequest
from relay.core.states import State
from relay.spawn.agents.agent import Command, Finding, Probe, Reader, checked_model

MAX_LINE = 8 * 1024 * 1024
_PERMISSION = {"plan": "plan", "edit": "acceptEdits", "full": "bypassPermissions"}
_NAMESPACE = uuid.UUID("5f0d3a39-6a53-4a84-9d5b-1a3c5a1f9c11")


class Claude:
    """The task goes by standard input, so that no text can become an option."""

    name = "claude"

    def probe(self) -> Probe | None:
        # before 2.1.41 there was no `auth`, and the word would have been a task
        login, since = ("auth", "status"), (2, 1, 41)
        return Probe("claude", ("--version",), login, since, _logged_in, log_in="claude auth login")

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        if not request.task.strip():
            raise Misuse("the task is empty", code=Code.BAD_TASK, hint='relay spawn NAME claude "Fix the tests"')
        argv = ["claude", "-p", "--output-format", "stream-json", "--verbose"]
        session = ("--resume", resume) if resume else ("--session-id", session_for(request.id, attempt))
        argv += [*session, "--permission-mode", _PERMISSION[request.mode]]
        if request.model:
            argv += ["--model", checked_model(request.model)]
        return Command(tuple(argv), stdin=request.task)

    def terminal(self, request: SpawnRequest, session: str) -> Command:
        """Claude Code as a person knows it, in that session."""
        model = ["--model", checked_model(request.model)] if request.model else []
        return Command(("claude", "--resume", session, "--permission-mode", _PERMISSION[request.mode], *model))

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


class StreamReader:
    """Reads stream-json: one JSON object a line, keys in any order, unknown types passed over."""

    def __init__(self) -> None:
        self._partial = b""
        self._skipping = False
        self._result: dict[str, Any] | None = None
        self._session: str | None = None
        self._last_retry = ""

    def feed(self, stream: int, data: bytes) -> list[str]:
        if stream != 0:
            return []
        *lines, self._partial = (self._partial + data).split(b"\n")
        if self._skipping and lines:
            self._skipping, lines = False, lines[1:]
        if len(self._partial) > MAX_LINE:
            self._partial, self._skipping = b"", True
        return [word for line in lines for word in self._line(line)]

    def _line(self, line: bytes) -> list[str]:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            return []
        return self._event(event) if isinstance(event, dict) else []

    def _event(self, event: dict[str, Any]) -> list[str]:
        kind = event.get("type")
        if isinstance(event.get("session_id"), str):
            self._session = _plain(event["session_id"], 128)
        if kind == "result":
            self._result = event
        elif kind == "assistant":
            return _progress(event)
        elif kind == "system" and event.get("subtype") == "api_retry":
            return [self._retry(event)]
        return []

    def _retry(self, event: dict[str, Any]) -> str:
        tried, most, status = event.get("attempt"), event.get("max_retries"), event.get("error_status")
        self._last_retry = _plain(f"waiting for the API, try {tried} of {most}, {status}", 200)
        return self._last_retry

    def finding(self, exit_code: int) -> Finding:
        if self._partial and not self._skipping:
            self._line(self._partial)
        self._partial = b""
        if self._result is None:
            return self._no_result(exit_code)
        return _judged(self._result, exit_code, self._session)

    def _no_result(self, exit_code: int) -> Finding:
        why = f"claude ended with exit code {exit_code} and gave no result"
        return Finding(
            State.FAILED,
            code=Code.AGENT_NO_RESULT,
            why=f"{why}; last: {self._last_retry}" if self._last_retry else why,
            hint="relay logs {id}",
            session=self._session,
        )


def _plain(value: object, most: int) -> str:
    # JSON may name half a surrogate pair (a text cut within an emoji), which neither store nor wire can hold
    return str(value).encode("utf-8", "replace").decode()[:most]


def _progress(event: dict[str, Any]) -> list[str]:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return [word for part in parts if (word := _part_in_words(part))]


def _part_in_words(part: dict[str, Any]) -> str:
    if part.get("type") == "text":
        return _plain(str(part.get("text", "")).strip(), 200)
    if part.get("type") == "tool_use":
        return f"uses {_plain(part.get('name', 'a tool'), 80)}"
    return ""


def _judged(result: dict[str, Any], exit_code: int, session: str | None) -> Finding:
    code, why, hint = _fault(result, exit_code)
    return Finding(
        State.FAILED if code else State.COMPLETED,
        summary=_plain(result.get("result") or "", MAX_SUMMARY),
        code=code,
        why=why,
        hint=hint,
        usage=_usage(result),
        session=session,
    )


def _fault(result: dict[str, Any], exit_code: int) -> tuple[Code | None, str, str]:
    denials, subtype = result.get("permission_denials"), str(result.get("subtype", ""))
    if subtype == "error_max_turns":
        return Code.AGENT_MAX_TURNS, "claude reached its limit of turns", "relay logs {id}"
    if result.get("is_error") or subtype != "success":
        return Code.AGENT_ERROR, _error_words(result), "relay logs {id}"
    if denials:
        tools = ", ".join(sorted({str(each.get("tool_name", "?")) for each in denials if isinstance(each, dict)}))
        why = f"claude was denied: {_plain(tools, 200)}"
        return Code.AGENT_DENIED, why, "spawn it again with --mode full, if its grant there allows that"
    if exit_code != 0:
        return Code.EXIT_NONZERO, f"claude gave a result and then exit code {exit_code}", "relay logs {id}"
    return None, "", ""


def _error_words(result: dict[str, Any]) -> str:
    status, errors = result.get("api_error_status"), result.get("errors")
    words = str(result.get("result") or "") or (str(errors[0]) if isinstance(errors, list) and errors else "")
    said = _plain(words, 500) or "claude reported an error"
    return f"{said}{_plain(f' (API status {status})', 80) if status else ''}"


def _usage(result: dict[str, Any]) -> dict[str, Any]:
    usage = result.get("usage")
    given = usage.items() if isinstance(usage, dict) else ()
    numbers: dict[str, float] = {_plain(key, 64): each for key, each in given if type(each) is int and _fits(each)}
    for key, name in (("num_turns", "turns"), ("total_cost_usd", "cost_usd")):
        if type(result.get(key)) in (int, float) and _fits(result[key]):
            numbers[name] = result[key]
    return dict(list(numbers.items())[:32])


def _fits(number: float) -> bool:
    return -(2**53) < number < 2**53

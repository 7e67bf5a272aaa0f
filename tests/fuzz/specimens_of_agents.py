"""What agents print: whatever it is, a reader and a conductor go on, and what they found can be stored and sent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from relay.core.wire import pack
from relay.spawn.agents.agent import Reader
from relay.spawn.agents.asking import asks
from relay.spawn.agents.claude import StreamReader
from relay.spawn.agents.codex import ServerReader
from relay.spawn.agents.codex_exec import ExecReader
from relay.spawn.agents.conductor import claude, codex
from relay.spawn.agents.conductor.lines import Lines
from relay.spawn.agents.gemini import GeminiReader
from relay.spawn.agents.goose import GooseReader
from relay.spawn.agents.opencode import OpencodeReader
from relay.spawn.agents.rules import ObjectReader, Rule, TextReader
from tests.fuzz.specimens import Form

_ASKS = {"subtype": "can_use_tool", "tool_name": "AskUserQuestion", "input": {"questions": [{"question": "Which?"}]}}
_CLAUDE: list[dict[str, Any]] = [
    {"type": "system", "subtype": "init", "session_id": "s", "mcp_servers": [{"name": "a", "status": "failed"}]},
    {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 2, "error_status": 429},
    {"type": "assistant", "message": {"content": [{"type": "text", "text": "\ud83d"}, {"type": "tool_use"}]}},
    {"type": "control_request", "request_id": "r", "request": _ASKS},
    {"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "resetsAt": 1_800_000_000}},
    {"type": "result", "subtype": "success", "usage": {"input_tokens": 1}, "permission_denials": [{"tool_name": "a"}]},
]
_CODEX: list[dict[str, Any]] = [
    {"id": 1, "result": {}},
    {"id": 2, "result": {"account": None, "requiresOpenaiAuth": False}},
    {"id": 3, "result": {"thread": {"id": "t"}, "model": "m"}},
    {"method": "error", "params": {"error": {"message": "1/2", "codexErrorInfo": {"a": {"httpStatusCode": 1}}}}},
    {"method": "item/completed", "params": {"item": {"type": "fileChange", "changes": [{"path": "a"}]}}},
    {"method": "item/tool/requestUserInput", "id": 0, "params": {"questions": [{"id": "q", "options": [{}]}]}},
    {"method": "turn/completed", "params": {"threadId": "t", "turn": {"status": "failed", "error": {"message": "a"}}}},
]
_EXEC: list[dict[str, Any]] = [
    {"type": "thread.started", "thread_id": "t"},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "a"}},
    {"type": "turn.completed", "usage": {"input_tokens": 1}},
]
_GEMINI: list[dict[str, Any]] = [
    {"type": "init", "session_id": "s", "model": "m"},
    {"type": "tool_use", "tool_name": "a", "tool_id": "1"},
    {"type": "tool_result", "tool_id": "1", "status": "error", "error": {"message": "denied"}},
    {"type": "message", "role": "assistant", "content": "a", "delta": True},
    {"type": "result", "status": "success", "stats": {"input_tokens": 1}},
]
_OPENCODE: list[dict[str, Any]] = [
    {"type": "text", "sessionID": "s", "part": {"text": "a"}},
    {"type": "tool_use", "part": {"tool": "a", "state": {"status": "error", "error": "denied"}}},
    {"type": "step_finish", "part": {"reason": "stop", "tokens": {"input": 1}}},
    {"type": "error", "error": {"name": "a", "data": {"statusCode": 401}}},
]
_GOOSE: list[dict[str, Any]] = [
    {"type": "message", "message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]}},
    {"type": "complete", "total_tokens": 1},
]


def _read(made: Callable[[], Reader]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        reader = made()
        words = [word for at in range(0, len(data), 97) for word in reader.feed(at % 2, data[at : at + 97])]
        words += reader.feed(0, data)
        found = dataclasses.asdict(reader.finding(0))
        asked = reader.asked() if asks(reader) else []
        texts = [[each.name, each.text, each.tool] for each in asked]
        return pack([words, texts, {**found, "state": str(found["state"]), "notes": list(found["notes"])}])

    return decode


def _talk(made: Callable[[], Any]) -> Callable[[bytes], object]:
    def decode(data: bytes) -> object:
        talk, said = made(), []
        for word in [*Lines().feed(data), *Lines().feed(data[::-1]), *Lines().feed(data + b"\n")]:
            said += talk.heard(word)
            said += talk.told(word)
            said += talk.told({"answer": word.get("request_id", word.get("id")), "verb": "send", "text": "a"})
        return json.dumps(said)

    return decode


def _form(name: str, events: list[dict[str, Any]], decode: Callable[[bytes], object]) -> Form:
    return Form(name, b"".join(json.dumps(each).encode() + b"\n" for each in events), decode)


def forms() -> list[Form]:
    """Every stream of an agent."""
    rule = Rule({"type": "complete"}, session="message.role", summary="type")
    return [
        _form("stream of claude", _CLAUDE, _read(StreamReader)),
        _form("stream of codex", _CODEX, _read(ServerReader)),
        _form("stream of codex exec", _EXEC, _read(lambda: ExecReader("mine"))),
        _form("stream of gemini", _GEMINI, _read(GeminiReader)),
        _form("stream of opencode", _OPENCODE, _read(OpencodeReader)),
        _form("stream of goose", _GOOSE, _read(GooseReader)),
        _form("stream by a rule", _GOOSE, _read(lambda: ObjectReader("mine", rule))),
        _form("text of an agent", _GOOSE, _read(lambda: TextReader("mine"))),
        _form("talk with claude", _CLAUDE, _talk(lambda: claude.Conversation({"task": "x"}, "/"))),
        _form("talk with codex", _CODEX, _talk(lambda: codex.Conversation({"task": "x"}, "/"))),
    ]

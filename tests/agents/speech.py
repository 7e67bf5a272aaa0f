"""What a model answers, put into the four forms in which agents expect it: streams of server-sent events, and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

MODEL = "stub-1"
TOKENS_IN, TOKENS_OUT = 12, 7


@dataclass(frozen=True, slots=True)
class Text:
    """The model says this, and its turn is over."""

    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """The model calls a tool of the agent, by the agent's own name for it.

    Attributes:
        name: of the tool.
        input: its arguments.
        namespace: in which codex keeps the tools of a server; empty for none.
    """

    name: str
    input: dict[str, Any] = field(default_factory=dict)
    namespace: str = ""


Said = Text | Tool
Event = tuple[str, dict[str, Any]]


def sse(events: Iterable[Event], *, named: bool) -> bytes:
    """Server-sent events; with their names where the interface has some."""
    lines = []
    for name, data in events:
        lines.append(f"event: {name}\n" if named else "")
        lines.append(f"data: {json.dumps(data)}\n\n")
    return "".join(lines).encode()


# Anthropic Messages


def _block(said: Said, n: int) -> dict[str, Any]:
    if isinstance(said, Text):
        return {"type": "text", "text": said.text}
    return {"type": "tool_use", "id": f"toolu_{n:04}", "name": said.name, "input": said.input}


def anthropic(said: Said, n: int) -> dict[str, Any]:
    """The whole message."""
    return {
        "id": f"msg_{n:04}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [_block(said, n)],
        "stop_reason": "end_turn" if isinstance(said, Text) else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT},
    }


def anthropic_stream(said: Said, n: int) -> bytes:
    """The same as a stream."""
    whole = anthropic(said, n)
    block = whole["content"][0]
    if isinstance(said, Text):
        empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": said.text}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(said.input)}
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    start = {**whole, "content": [], "stop_reason": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": TOKENS_OUT}},
        {"type": "message_stop"},
    ]
    return sse(((str(each["type"]), each) for each in events), named=True)


# OpenAI Responses


def _item(said: Said, n: int) -> dict[str, Any]:
    if isinstance(said, Text):
        part = {"type": "output_text", "text": said.text, "annotations": []}
        return {"type": "message", "id": f"msg_{n}", "role": "assistant", "status": "completed", "content": [part]}
    arguments = json.dumps(said.input)
    call = {"type": "function_call", "id": f"fc_{n}", "call_id": f"call_{n}", "status": "completed"}
    kept = {"namespace": said.namespace} if said.namespace else {}
    return {**call, **kept, "name": said.name, "arguments": arguments}


def responses(said: Said, n: int) -> dict[str, Any]:
    """The whole response."""
    usage = {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    outer = {"id": f"resp_{n}", "object": "response", "created_at": 1, "status": "completed", "model": MODEL}
    return {**outer, "output": [_item(said, n)], "usage": usage | details}


def responses_stream(said: Said, n: int) -> bytes:
    """The same as a stream."""
    whole = responses(said, n)
    created = {**whole, "status": "in_progress", "output": [], "usage": None}
    item = whole["output"][0]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": created},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return sse(((str(each["type"]), each) for each in events), named=True)


# OpenAI Chat Completions


def _message(said: Said, n: int) -> dict[str, Any]:
    if isinstance(said, Text):
        return {"role": "assistant", "content": said.text}
    function = {"name": said.name, "arguments": json.dumps(said.input)}
    call = {"id": f"call_{n}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _chat_usage() -> dict[str, int]:
    total = TOKENS_IN + TOKENS_OUT
    return {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": total}


def _end_of_chat(said: Said) -> str:
    return "stop" if isinstance(said, Text) else "tool_calls"


def chat(said: Said, n: int) -> dict[str, Any]:
    """The whole completion."""
    choice = {"index": 0, "message": _message(said, n), "finish_reason": _end_of_chat(said)}
    outer = {"id": f"chat_{n}", "object": "chat.completion", "created": 1, "model": MODEL}
    return {**outer, "choices": [choice], "usage": _chat_usage()}


def chat_stream(said: Said, n: int) -> bytes:
    """The same as a stream."""
    outer = {"id": f"chat_{n}", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    message = _message(said, n)
    for at, call in enumerate(message.get("tool_calls", [])):
        call["index"] = at
    first = {"index": 0, "delta": message, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": _end_of_chat(said)}
    events = [{**outer, "choices": [first]}, {**outer, "choices": [last], "usage": _chat_usage()}]
    return sse((("", each) for each in events), named=False) + b"data: [DONE]\n\n"


# Gemini


def gemini(said: Said, n: int) -> dict[str, Any]:
    """The whole answer, which is also the only event of the stream."""
    part = {"text": said.text} if isinstance(said, Text) else {"functionCall": {"name": said.name, "args": said.input}}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    total = TOKENS_IN + TOKENS_OUT
    usage = {"promptTokenCount": TOKENS_IN, "candidatesTokenCount": TOKENS_OUT, "totalTokenCount": total}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": f"gem_{n}"}


def gemini_stream(said: Said, n: int) -> bytes:
    """The same as a stream."""
    return sse([("", gemini(said, n))], named=False)


@dataclass(frozen=True, slots=True)
class Form:
    """One interface: how it says something whole, as a stream, and how it says that it failed."""

    whole: Callable[[Said, int], dict[str, Any]]
    stream: Callable[[Said, int], bytes]
    error: Callable[[int, str], dict[str, Any]]


def _anthropic_error(status: int, message: str) -> dict[str, Any]:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}}


def _openai_error(status: int, message: str) -> dict[str, Any]:
    kinds = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
    code = kinds.get(status, "server_error")
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def _gemini_error(status: int, message: str) -> dict[str, Any]:
    kinds = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"error": {"code": status, "message": message, "status": kinds.get(status, "INTERNAL")}}


FORMS = {
    "anthropic": Form(anthropic, anthropic_stream, _anthropic_error),
    "responses": Form(responses, responses_stream, _openai_error),
    "chat": Form(chat, chat_stream, _openai_error),
    "gemini": Form(gemini, gemini_stream, _gemini_error),
}

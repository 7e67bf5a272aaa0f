"""How a call ends, by what its program says of it: success only where the runner really said so."""

from __future__ import annotations

from typing import Any

from relay.broker.tools.ledger import Step
from relay.core import json_values
from relay.core.calls import MAX_RESULT, STATE_OF, Outcome
from relay.core.errors import Code
from relay.core.states import State

MAX_SAID = 1_000
_FAILED_WORDS = frozenset({"failed", "error"})


def ended(said: dict[str, Any], is_function: bool) -> Step:
    """The step that a program's `result` means.

    Args:
        said: what it said.
        is_function: whether it is of a function, which may return a status of its own; a tool's is its data.
    """
    outcome, error = said.get("outcome"), _error(said.get("error"))
    if not isinstance(outcome, str) or outcome not in Outcome._value2member_map_:
        return _failed(Code.BAD_RESULT, "its program said of its end what nobody knows", str(outcome)[:100])
    found = _result(said.get("result"))
    if isinstance(found, Step):
        return found
    how = Outcome(outcome)
    if how in (Outcome.DONE, Outcome.AWAITING) and (found is None or _is_failure(said["result"], is_function)):
        if found is None:
            return _failed(Code.BAD_RESULT, "its program said that it is done, and gave no result", "")
        how = Outcome.ERROR
    if how is Outcome.ERROR and error is None:
        error = _document(Code.RUNNER_FAILED, _first_text(said.get("result")) or "the runner failed", "")
    reason = error["message"] if error is not None and how is not Outcome.DONE else _reason(how)
    return Step(STATE_OF[how], reason, how, found, error if STATE_OF[how] is not State.COMPLETED else None)


def _reason(how: Outcome) -> str:
    words = {Outcome.AWAITING: "it waits for a person's approval", Outcome.CANCELLED: "its program stopped it"}
    return words.get(how, "")


def _result(value: Any) -> bytes | Step | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("content", []), list):
        return _failed(Code.BAD_RESULT, "its program gave what is no result of a tool", "")
    if (fault := json_values.fault_of(value)) is not None:
        return _failed(Code.BAD_RESULT, "its result cannot be carried", fault)
    data = json_values.packed(value)
    if len(data) > MAX_RESULT:
        why = f"it has {len(data)} bytes of JSON; at most {MAX_RESULT} are carried"
        hint = "have it write a file, and return the file's path: relay blob send FILE --broker BROKER"
        return _failed(Code.RESULT_TOO_LARGE, "it ran to its end, and its result is too large", why, hint)
    return data


def _is_failure(result: Any, is_function: bool) -> bool:
    """Whether a result says itself that it is none: by MCP's flag, or a function's by its status."""
    structured = result.get("structuredContent")
    status = structured.get("status") if isinstance(structured, dict) else None
    says_so = is_function and isinstance(status, str) and status.lower() in _FAILED_WORDS
    return says_so or bool(result.get("isError"))


def _first_text(result: Any) -> str:
    content = result.get("content") if isinstance(result, dict) else None
    texts = [each.get("text") for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    return next((text[:MAX_SAID] for text in texts if isinstance(text, str) and text), "")


def _error(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    code, message, why, hint = (str(value.get(key) or "")[:MAX_SAID] for key in ("code", "message", "why", "hint"))
    clean = [each.encode("utf-8", "replace").decode() for each in (message, why, hint)]
    named = code if code.isascii() and code.replace("_", "").isalnum() and len(code) <= 64 else str(Code.RUNNER_FAILED)
    return {"code": named, "message": clean[0] or "the runner failed", "why": clean[1], "hint": clean[2]}


def _document(code: Code, message: str, why: str, hint: str = "") -> dict[str, Any]:
    return {"code": str(code), "message": message, "why": why, "hint": hint}


def _failed(code: Code, message: str, why: str, hint: str = "") -> Step:
    return Step(State.FAILED, message, Outcome.ERROR, None, _document(code, message, why, hint))

"""What a runner came to, as the mesh is told. Nothing is a success but what the function itself gave as one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core import json_values
from relay.core.calls import MAX_RESULT, Outcome
from relay.core.errors import Code, RelayError

MOST_WORDS = 2_000
MOST_FAULTS = 3  # of a group that are named
FAILED = frozenset({"failed", "error", "failure"})
AWAITING = "awaiting_approval"
_WORDS = ("message", "error", "reason", "why", "summary", "detail")


@dataclass(frozen=True, slots=True)
class Failed:
    """Returned by a runner: it could not do it.

    Attributes:
        why: in words that the caller reads.
        data: what else the caller may want, as JSON.
    """

    why: str
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AwaitingApproval:
    """Returned by a runner: its part is done, and a person has to approve before it counts.

    Attributes:
        what: is to be approved, in words that a person reads.
        data: what else the caller may want, as JSON.
    """

    what: str
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Came:
    """What one call came to.

    Attributes:
        outcome: the word for it.
        result: the result of an MCP tool, as JSON.
        error: why it failed; None where it did not.
    """

    outcome: Outcome
    result: dict[str, Any]
    error: RelayError | None = None

    def to_message(self, call: str) -> dict[str, Any]:
        """The program's word on a call to its broker."""
        error = None
        if self.error is not None:
            error = {"code": str(self.error.code), "message": self.error.message, "hint": self.error.hint}
        return {"result": {"call": call, "outcome": str(self.outcome), "result": self.result, "error": error}}


def of_value(value: Any) -> Came:
    """What a returned value is to the mesh.

    Args:
        value: whatever the function returned; awaitables have been awaited before.
    """
    if isinstance(value, Failed):
        return failed(value.why or "it gave no reason", data=value.data)
    if isinstance(value, AwaitingApproval):
        return _carried(Outcome.AWAITING, value.data or {}, value.what)
    if isinstance(value, Mapping):
        return _of_table(value)
    if value is None or isinstance(value, str):
        return _carried(Outcome.DONE, None, value or "")
    if isinstance(value, (list, tuple, int, float)):
        return _carried(Outcome.DONE, {"result": list(value) if isinstance(value, tuple) else value}, None)
    return _unusable(f"it returned {_kind(value)}: a runner returns text, a dict, a list or a number")


def _of_table(value: Mapping[Any, Any]) -> Came:
    status = str(value.get("status", "")).strip().lower()
    if status in FAILED or value.get("isError") is True:
        return failed(_words_of(value) or f"it returned the status {status or 'error'}", data=value)
    if status == AWAITING:
        return _carried(Outcome.AWAITING, value, _words_of(value) or None)
    return _carried(Outcome.DONE, value, None)


def _words_of(value: Mapping[Any, Any]) -> str:
    return next((each for key in _WORDS if isinstance(each := value.get(key), str) and each.strip()), "")


def of_fault(fault: BaseException) -> Came:
    """What an exception is to the mesh: its type and message, and nothing of where it was raised."""
    if isinstance(fault, RelayError):
        return failed(fault.message, code=fault.code, hint=fault.hint)
    return failed(_spelled(fault))


def _spelled(fault: BaseException) -> str:
    if isinstance(fault, BaseExceptionGroup):  # of a TaskGroup: what happened is what is in it
        return "; ".join(map(_spelled, fault.exceptions[:MOST_FAULTS]))
    said = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {said}" if said else type(fault).__name__


def failed(
    why: str, *, code: Code = Code.RUNNER_FAILED, hint: str = "", data: Mapping[Any, Any] | None = None
) -> Came:
    """A failure.

    Args:
        why: in words.
        code: what scripts match on.
        hint: what to do next; empty for nothing.
        data: what else is told, left out where it cannot be.
    """
    words = _short(why)
    result: dict[str, Any] = {"content": [_text(words)], "isError": True}
    if data is not None and _fault_of(table := dict(data)) is None:
        result["structuredContent"] = table
    return Came(Outcome.ERROR, result, RelayError(words, code=code, hint=hint))


def cancelled(why: str) -> Came:
    """What was stopped before its end."""
    words = _short(why) or "it was stopped"
    return Came(Outcome.CANCELLED, {"content": [_text(words)], "isError": True})


def _carried(outcome: Outcome, data: Mapping[Any, Any] | None, text: str | None) -> Came:
    """A result that is carried as data, as text, or as both."""
    table = None if data is None else dict(data)
    if (fault := _fault_of(table) or _fault_of(text)) is not None:
        return _unusable(f"what it returned cannot be told: {fault}")
    shown = json_values.packed(table).decode() if text is None else text
    result: dict[str, Any] = {"content": [_text(shown)] if shown else [], "isError": False}
    if table:
        result["structuredContent"] = table
    if (size := len(json_values.packed(result))) > MAX_RESULT:
        why = f"its result has {size >> 20} MiB, and a result has at most {MAX_RESULT >> 20}"
        return failed(why, code=Code.RESULT_TOO_LARGE, hint="relay blob send FILE --broker BROKER")
    return Came(outcome, result)


def _unusable(why: str) -> Came:
    return failed(why, code=Code.BAD_RESULT)


def _fault_of(value: Any) -> str | None:
    return json_values.fault_of(value)


def _kind(value: object) -> str:
    kind = "an asynchronous generator" if inspect.isasyncgen(value) else type(value).__name__
    return kind if " " in kind else f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"


def _short(words: str) -> str:
    plain = words.encode("utf-8", "replace").decode()
    return plain if len(plain) <= MOST_WORDS else plain[: MOST_WORDS - 1] + "…"


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}

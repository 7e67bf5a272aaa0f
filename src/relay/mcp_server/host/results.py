"""What a call came to, as a program tells its broker."""

from __future__ import annotations

from typing import Any

from relay.core import json_values
from relay.core.calls import MAX_RESULT
from relay.core.errors import Code, LocalFault, RelayError

JSON = dict[str, Any]
SAID = 500
THERE = "on its machine: relay tools"
NOT_SERVED = LocalFault(
    "this tool is not served any more", code=Code.TOOL_SERVER_DOWN, why="nothing was done", hint=THERE
)

OWN_FAULT = LocalFault(
    "the call met a fault of relay's own", code=Code.INTERNAL, why="its server may have acted", hint=f"the log, {THERE}"
)


def answer_of(result: JSON) -> JSON:
    """The end of a call whose server answered.

    Args:
        result: as the server gave it.
    """
    if result.get("resultType") == "input_required":
        why = "it asks its client for more, and a shared tool has no client that could be asked"
        hint = "on its machine, with a client of its own"
        return failure_of(LocalFault("the tool needs input", code=Code.RUNNER_FAILED, why=why, hint=hint))
    if (fault := json_values.fault_of(result)) is not None:
        hint = "mend its server"
        return failure_of(LocalFault("its result cannot be carried", code=Code.BAD_RESULT, why=fault, hint=hint))
    if (size := len(json_values.packed(result))) > MAX_RESULT:
        why = f"it has {size >> 20} MiB, and {MAX_RESULT >> 20} are carried; it has acted all the same"
        hint = "ask it for less"
        return failure_of(LocalFault("its result is too large", code=Code.RESULT_TOO_LARGE, why=why, hint=hint))
    if result.get("isError"):  # a client takes "yes" for it as well
        error = {"code": str(Code.RUNNER_FAILED), "message": _said(result), "why": "", "hint": ""}
        return {"outcome": "error", "result": result, "error": error}
    return {"outcome": "done", "result": result, "error": None}


def failure_of(error: RelayError | None) -> JSON:
    """The end of a call that has no result."""
    return {"outcome": "error", "result": None, "error": (error or NOT_SERVED).to_json()}


def _said(result: JSON) -> str:
    parts = result.get("content")
    texts = (each.get("text") for each in parts if isinstance(each, dict)) if isinstance(parts, list) else ()
    first = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    return " ".join(first.split())[:SAID] or "the tool says that it failed, and not why"

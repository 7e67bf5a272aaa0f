"""The lines of an MCP server as messages; also those that answer a call and are none."""

from __future__ import annotations

import json
import re
from typing import Any

import mcp_types as types
from mcp.shared.message import SessionMessage

UNREADABLE = types.PARSE_ERROR
"""The code of what stands in the place of such an answer."""
MARK = object()
_ANSWER = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*,\s*"(?:result|error)"')


def message_of(line: bytes) -> SessionMessage | None:
    """The message in a line; None where it is none.

    An answer that cannot be read becomes an error of that answer's id: passed over, its call would wait until its time
    is over.
    """
    try:
        # by this reader: it keeps what the package's own refuses, such as half of a pair of surrogates
        return SessionMessage(types.jsonrpc_message_adapter.validate_python(json.loads(line), by_name=False))
    except (ValueError, RecursionError) as fault:
        why = "it is no UTF-8" if isinstance(fault, UnicodeDecodeError) else "it is no answer of JSON-RPC"
    request = _answered(line)
    if request is None:
        return None
    error = types.ErrorData(code=UNREADABLE, message=why, data=MARK)
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=request, error=error))


def is_unreadable(error: types.ErrorData) -> bool:
    """Whether an error stands for an answer that could not be read."""
    return error.data is MARK


def _answered(line: bytes) -> int | str | None:
    """The id of what a line answers, as far as that is certain."""
    try:
        document = json.loads(line.decode("utf-8", "replace"), parse_int=_whole)
    except (ValueError, RecursionError):
        found = _ANSWER.match(line)
        return None if found is None else int(found[1])
    if not isinstance(document, dict) or "method" in document or not document.keys() & {"result", "error"}:
        return None
    request = document.get("id")
    return request if type(request) in (int, str) else None


def _whole(digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:
        return None  # of more digits than are read

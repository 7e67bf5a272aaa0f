"""Calls one runner of this machine's broker and ends as the call does: the program of a runner that is spawned.

    stdin    one line of JSON: what to call
    stdout   what the runner gave, as text
    stderr   a line for each change of where the call stands and of how far it is; the last one is its outcome

The call has the attempt's operation id, so that however often it is asked for it runs once; the broker may be restarted
meanwhile. Asked to stop, it stops the call and waits for its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from relay.api import tool_routes
from relay.api.client import Client
from relay.api.home import Home
from relay.core.errors import Code, RelayError

if TYPE_CHECKING:
    from relay.api.routes import Call
    from relay.api.tool_shapes import ToolCall

OUTCOME = "outcome: "
DONE, AWAITING, ERROR = "done", "awaiting_approval", "error"
ENDED = frozenset({"completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost"})
FAILED, STOPPED = 1, 130
PAUSE_S, FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 0.5, 2.0


class _Stop(BaseException):
    """A signal asked for the end."""


def _on_signal(number: int, frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise _Stop


def _ask(client: Client, call: Call[ToolCall]) -> ToolCall:
    """The answer, however long the broker is away."""
    while True:
        try:
            return client.ask(call)
        except RelayError as fault:
            if fault.code not in (Code.NOT_RUNNING, Code.TIMED_OUT):
                raise
        time.sleep(PAUSE_S)


def _tell(line: str) -> None:
    sys.stderr.write(" ".join(line.split()) + "\n")
    sys.stderr.flush()


def _standing(call: ToolCall) -> str:
    progress = call["progress"]
    if progress is not None:
        of = f"/{progress['of']:g}" if progress["of"] is not None else ""
        return f"progress: {progress['done']:g}{of} {progress['words']}"
    return f"call {call['id']}: {call['state']}" + (f": {call['reason']}" if call["reason"] else "")


def _follow(client: Client, call: ToolCall) -> ToolCall:
    said, wait_s = "", FIRST_WAIT_S
    while call["state"] not in ENDED:
        if (now := _standing(call)) != said:
            said = now
            _tell(now)
        call = _ask(client, tool_routes.call_shown(call["id"], wait_s))
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    return call


def _carried_out(client: Client, plan: dict[str, Any]) -> ToolCall:
    arguments = plan["arguments"] | ({plan["cwd"]: os.getcwd()} if plan["cwd"] else {})
    order: Any = {key: plan[key] for key in ("tool", "broker", "timeout_s")} | {"arguments": arguments}
    made = tool_routes.call(order, plan["operation"])
    try:
        return _follow(client, _ask(client, made))
    except _Stop:
        # asked for once more where nobody knows whether it was: by its operation it is the same one
        call = _ask(client, made)
        return _follow(client, _ask(client, tool_routes.stop_call(call["id"], "the stop of its spawn")))


def _end(call: ToolCall) -> int:
    result = call["result"] or {}
    texts = [each.get("text") for each in result.get("content") or () if isinstance(each, dict)]
    text = "\n".join(each for each in texts if isinstance(each, str))
    if not text and result.get("structuredContent") is not None:
        text = json.dumps(result["structuredContent"], ensure_ascii=False)
    if text:
        sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
        sys.stdout.flush()
    if call["state"] == "completed" and call["outcome"] in (DONE, AWAITING):
        _conclude({"outcome": call["outcome"]})
        return 0
    error: Any = call["error"] or {"code": "", "message": call["reason"] or call["spoken"], "hint": ""}
    why = ". ".join(filter(None, (error["message"], error.get("why", ""))))
    _conclude({"outcome": ERROR, "code": error["code"], "why": why, "hint": error["hint"]})
    return STOPPED if call["state"] == "cancelled" else FAILED


def _conclude(word: dict[str, Any]) -> None:
    sys.stderr.write(f"{OUTCOME}{json.dumps(word)}\n")
    sys.stderr.flush()


def main() -> int:
    """Make the call of the plan; the exit status."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _on_signal)
    plan = json.loads(sys.stdin.buffer.readline())
    try:
        with Client(Home()) as client:
            return _end(_carried_out(client, plan))
    except RelayError as fault:
        why = ". ".join(filter(None, (fault.message, fault.why)))
        _conclude({"outcome": ERROR, "code": str(fault.code), "why": why, "hint": fault.hint})
        return FAILED


if __name__ == "__main__":
    sys.exit(main())

"""An MCP server that does what it is asked to: slow, failing, dying, changing. The standard library alone.

    python scripted.py FOLDER [modern] [restless]

Each start of it and each call of a tool is a line in FOLDER/seen, so that a test can count them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

JSON = dict[str, Any]
NEWEST = "2026-07-28"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def _takes(**properties: str) -> JSON:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}


# with what no client knows, and in an order that none would choose
TOOLS: list[JSON] = [
    {
        "x-own": [1, {"deep": None}],
        "outputSchema": {"type": "object", "properties": {"given": {"type": "object"}}, "required": ["given"]},
        "inputSchema": {"$schema": "http://json-schema.org/draft-07/schema#", **_takes(text="string"), "x-more": 1.0},
        "name": "echo",
        "annotations": {"zeta": True, "readOnlyHint": True},
        "title": "Echo é\u2028",
        "description": "Says what it was given.\n\tAs it was.",
        "_meta": {"b": 1, "a": 2},
    },
    {"name": "slow", "description": "Takes its time.", "inputSchema": _takes(seconds="number", steps="integer")},
    {"name": "fail", "inputSchema": _takes()},
    {"name": "refuse", "inputSchema": _takes()},
    {"name": "die", "inputSchema": _takes(status="integer")},
    {"name": "big", "inputSchema": _takes(letters="integer")},
    {"name": "picture", "inputSchema": _takes()},
    {"name": "environment", "inputSchema": _takes()},
    {"name": "orphan", "inputSchema": _takes()},
    {"name": "grow", "inputSchema": _takes()},
    {"name": "sour", "inputSchema": _takes()},
    {"name": "deafen", "inputSchema": _takes()},
    {"name": "run", "inputSchema": {"type": "object", "properties": {"words": {"type": "array"}}}},
    {"name": "raw", "inputSchema": _takes(line="string")},
    {"name": "odd name/here", "inputSchema": _takes()},
]
# each is a tool that the protocol has no room for
WRONG: list[Any] = [
    {"name": "no-schema"},
    {"name": "of-no-object", "inputSchema": {"type": "string"}},
    {"name": "worded-by-7", "inputSchema": _takes(), "description": 7},
    7,
]


class Refusal(Exception):
    """An error of the protocol."""


class Server:
    """One run."""

    def __init__(self, folder: Path, modern: bool, restless: bool) -> None:
        self._restless = restless
        self._folder = folder
        self._modern = modern
        self._lock = threading.Lock()
        self._tools = list(TOOLS)
        self._listening: object = None
        self._cancelled: set[object] = set()
        self.note(f"start {os.getpid()}")

    def note(self, what: str) -> None:
        with open(self._folder / "seen", "a") as file:
            file.write(what + "\n")

    def say(self, message: JSON) -> None:
        with self._lock:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            sys.stdout.flush()

    def serve(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if message.get("method") == "notifications/cancelled":
                self._cancelled.add(message["params"]["requestId"])
            elif message.get("params", {}).get("name") == "deafen":
                self._answer(message)
                os.close(0)
                time.sleep(600)
            elif "id" in message and "method" in message:
                threading.Thread(target=self._answer, args=(message,), daemon=True).start()

    def _answer(self, message: JSON) -> None:
        try:
            result = self._result(message["method"], message.get("params") or {}, message["id"])
        except Refusal as refusal:
            code, text, data = refusal.args
            self.say({"id": message["id"], "error": {"code": code, "message": text, "data": data}})
            return
        if result is not None:
            self.say({"id": message["id"], "result": result})

    def _result(self, method: str, params: JSON, request: object) -> JSON | None:
        more: JSON = {"resultType": "complete"} if self._modern else {}
        if method == "initialize" and self._modern:
            raise Refusal(-32022, "no handshake here", {"supported": [NEWEST], "requested": params["protocolVersion"]})
        if method == "initialize":
            capabilities = {"tools": {"listChanged": True}}
            info = {"name": "scripted", "version": "1"}
            return {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info}
        if method == "server/discover" and self._modern:
            cached = {"ttlMs": 0, "cacheScope": "private"}
            return {"supportedVersions": [NEWEST], "capabilities": {"tools": {"listChanged": True}}} | more | cached
        if method == "subscriptions/listen":
            self._listening = request
            self._acknowledge(params["notifications"])
            return None
        if method == "tools/list":
            return self._page(params.get("cursor")) | more | ({"ttlMs": 0, "cacheScope": "private"} if more else {})
        if method == "tools/call":
            self.note(f"{params['name']} {json.dumps(params.get('arguments'), sort_keys=True)}")
            token = params.get("_meta", {}).get("progressToken")
            tool: Callable[..., JSON | None] = getattr(self, f"do_{params['name']}")
            result = tool(params.get("arguments") or {}, token, request)
            return None if result is None else result | more
        raise Refusal(-32601, f"no method {method}", None)

    def _acknowledge(self, honored: JSON) -> None:
        meta = {"io.modelcontextprotocol/subscriptionId": self._listening}
        params = {"notifications": honored, "_meta": meta}
        self.say({"method": "notifications/subscriptions/acknowledged", "params": params})

    def _page(self, cursor: str | None) -> JSON:
        if self._restless:  # what it says has changed again by the time that it is heard
            self.note("listed")
            self.say({"method": "notifications/tools/list_changed"})
            return {"tools": [{"name": "ever", "description": f"{time.time()}", "inputSchema": _takes()}]}
        at = int(cursor or 0)
        page: JSON = {"tools": self._tools[at : at + 5]}
        return page | ({"nextCursor": str(at + 5)} if at + 5 < len(self._tools) else {})

    # the tools

    def do_echo(self, given: JSON, token: object, request: object) -> JSON:
        content = {"type": "text", "text": str(given.get("text")), "x-own": 1}
        return {"x-more": {"z": 1, "a": 2}, "structuredContent": {"given": given}, "content": [content]}

    def do_slow(self, given: JSON, token: object, request: object) -> JSON:
        steps = given.get("steps", 4)
        for step in range(steps):
            time.sleep(given["seconds"] / steps)
            if request in self._cancelled:
                self.note("cancelled")
                break
            if token is not None:
                self._tell(token, step + 1, steps)
            while given.get("until") and step == 1 and not os.path.exists(given["until"]):
                time.sleep(0.05)
        self.note("slow ended")
        return {"content": [{"type": "text", "text": "slept"}]}

    def _tell(self, token: object, done: int, of: int) -> None:
        told = {"progressToken": token, "progress": done, "total": of, "message": f"step {done}"}
        self.say({"method": "notifications/progress", "params": told})

    def do_fail(self, given: JSON, token: object, request: object) -> JSON:
        return {"content": [{"type": "text", "text": "the oven is cold"}], "isError": True}

    def do_refuse(self, given: JSON, token: object, request: object) -> JSON:
        raise Refusal(-32602, "nothing of that kind", {"field": "kind"})

    def do_die(self, given: JSON, token: object, request: object) -> JSON:
        os.write(2, b"the floor gave way\n")
        os._exit(given.get("status", 9))

    def do_deafen(self, given: JSON, token: object, request: object) -> JSON:
        """Close the input, and live on."""
        return {"content": []}

    def do_big(self, given: JSON, token: object, request: object) -> JSON:
        return {"content": [{"type": "text", "text": "x" * given["letters"]}]}

    def do_picture(self, given: JSON, token: object, request: object) -> JSON:
        return {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}, {"type": "text", "text": "seen"}]}

    def do_environment(self, given: JSON, token: object, request: object) -> JSON:
        return {"content": [{"type": "text", "text": json.dumps(dict(os.environ))}]}

    def do_orphan(self, given: JSON, token: object, request: object) -> JSON:
        """Leave a process behind that is nobody's child and in nobody's session."""
        code = (
            "import os, subprocess as s; os.setsid();"
            "print(s.Popen(['sleep', '600'], stdin=-3, stdout=-3, stderr=-3).pid)"
        )
        made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return {"content": [{"type": "text", "text": made.stdout.strip()}]}

    def do_raw(self, given: JSON, token: object, request: object) -> None:
        """Write this, each letter of it a byte; TOKEN and REQUEST are those of the call."""
        line = given["line"].replace("TOKEN", json.dumps(token)).replace("REQUEST", json.dumps(request))
        with self._lock:
            sys.stdout.buffer.write(line.encode("latin-1") + b"\n")
            sys.stdout.flush()

    def do_run(self, given: JSON, token: object, request: object) -> JSON:
        done = subprocess.run(given["words"], capture_output=True, text=True, check=False)
        return {"content": [{"type": "text", "text": done.stdout + done.stderr}]}

    def do_grow(self, given: JSON, token: object, request: object) -> JSON:
        other = {**TOOLS[0], "description": "Another one."}
        self._tools = [other, *TOOLS[1:], {"name": "new", "inputSchema": _takes()}]
        meta = {"_meta": {"io.modelcontextprotocol/subscriptionId": self._listening}} if self._listening else {}
        self.say({"method": "notifications/tools/list_changed", "params": meta})
        return {"content": []}

    def do_sour(self, given: JSON, token: object, request: object) -> JSON:
        self._tools = [*self._tools[:2], *WRONG, *self._tools[2:]]
        self.say({"method": "notifications/tools/list_changed"})
        return {"content": []}

    def do_new(self, given: JSON, token: object, request: object) -> JSON:
        return {"content": [{"type": "text", "text": "new"}]}


if __name__ == "__main__":
    Server(Path(sys.argv[1]), "modern" in sys.argv, "restless" in sys.argv).serve()

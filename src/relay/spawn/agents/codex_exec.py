"""The stream of `codex exec --json`, for agents of `agents.toml` that speak it; the preset `codex` is a server."""

from __future__ import annotations

from typing import Any

from relay.core.spawning import MAX_SUMMARY
from relay.core.states import State
from relay.spawn.agents import faults
from relay.spawn.agents.agent import Finding
from relay.spawn.agents.rules import by_exit_code
from relay.spawn.agents.streams import JsonReader, numbers, plain, table, text_of


class ExecReader(JsonReader):
    """Reads thread, turn and item events. An item of the type `error` may be a mere warning, and ends nothing."""

    def __init__(self, agent: str) -> None:
        super().__init__(agent)
        self._thread: str | None = None
        self._said = ""
        self._usage: dict[str, float] = {}
        self._is_over = False
        self._error: str | None = None

    def event(self, event: dict[str, Any]) -> list[str]:
        kind = event.get("type")
        if kind == "thread.started":
            self._thread = text_of(event.get("thread_id"))
        elif kind == "turn.completed":
            self._is_over, self._usage = True, numbers(event.get("usage"))
            self.final()
        elif kind == "turn.started":
            self._is_over = False
        elif kind == "turn.failed":
            self._error = str(table(event.get("error")).get("message") or "the turn failed")
        elif kind in ("item.started", "item.completed"):
            return self._item(str(kind), table(event.get("item")))
        return []

    def _item(self, kind: str, item: dict[str, Any]) -> list[str]:
        if item.get("type") == "agent_message" and kind == "item.completed":
            self._said = plain(str(item.get("text") or "").strip(), MAX_SUMMARY)
            return [self._said[:200]] if self._said else []
        if item.get("type") in ("command_execution", "file_change", "mcp_tool_call") and kind == "item.started":
            return [f"uses {plain(item.get('command') or item.get('tool') or item['type'], 80)}"]
        return []

    def verdict(self, exit_code: int) -> Finding:
        common: dict[str, Any] = {"session": self._thread, "usage": self._usage}
        if self._error is not None:
            fault = faults.fault_in(self._agent, self._error, "codex login")
            return Finding(State.FAILED, self._said, code=fault.code, why=fault.why, hint=fault.hint, **common)
        if not self._is_over:
            return self.no_result(exit_code, **common)
        return by_exit_code(self._agent, exit_code, summary=self._said, **common)

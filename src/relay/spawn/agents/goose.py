"""`goose`: its stream-json read into progress and a result, by its documented events (no run of it was measured)."""

from __future__ import annotations

from typing import Any

from relay.core.spawning import MAX_SUMMARY, SpawnRequest
from relay.core.states import State
from relay.spawn.agents import faults
from relay.spawn.agents.agent import Command, Finding, Probe, Reader
from relay.spawn.agents.faults import Fault
from relay.spawn.agents.oneshot import Sessionless, command_for, going_on
from relay.spawn.agents.rules import by_exit_code
from relay.spawn.agents.streams import JsonReader, numbers, plain, table, tables

# `approve` would wait for a person that its program cannot reach without a terminal: what edits runs by itself
_MODES = {"plan": "chat", "edit": "auto", "full": "auto"}
_LOG_IN = "goose configure"


class Goose(Sessionless):
    """A session is called by the name that relay gives it."""

    name = "goose"

    def probe(self) -> Probe | None:
        return Probe("goose", ("--version",), log_in=_LOG_IN)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        session = going_on("--name", resume) or ["--name", f"relay-{request.id}-{attempt}"]
        argv = ["goose", "run", "--output-format", "stream-json", *session]
        argv += ["--resume"] if resume is not None else []
        if request.wishes.max_turns is not None:
            argv += ["--max-turns", str(request.wishes.max_turns)]
        made = command_for(self.name, [*argv, "--instructions", "-"], request, "--model")
        return Command(made.argv, stdin=made.stdin, environment={"GOOSE_MODE": _MODES[request.mode]})

    def reader(self) -> Reader:
        return GooseReader()


class GooseReader(JsonReader):
    """Reads message, error and complete events."""

    def __init__(self) -> None:
        super().__init__("goose")
        self._said = ""
        self._fault: Fault | None = None
        self._complete: dict[str, Any] | None = None

    def event(self, event: dict[str, Any]) -> list[str]:
        kind = event.get("type")
        if kind == "error":
            self._fault = faults.fault_in("goose", str(event.get("error") or ""), _LOG_IN)
        elif kind == "complete":
            self._complete = event
            self.final()
        elif kind == "message":
            return self._message(table(event.get("message")))
        return []

    def _message(self, message: dict[str, Any]) -> list[str]:
        if message.get("role") != "assistant":
            return []
        texts = [str(each.get("text") or "") for each in tables(message.get("content")) if each.get("type") == "text"]
        text = plain("".join(texts), MAX_SUMMARY)
        self._said = text.strip() or self._said
        return [text.strip()[:200]] if text.strip() else []

    def verdict(self, exit_code: int) -> Finding:
        if self._fault is not None:
            return Finding(
                State.FAILED, self._said, code=self._fault.code, why=self._fault.why, hint=self._fault.hint
            )
        if self._complete is None:
            return self.no_result(exit_code, summary=self._said)
        return by_exit_code("goose", exit_code, summary=self._said, usage=numbers(self._complete))

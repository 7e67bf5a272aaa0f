"""Readers that go by a rule: the last JSON object that has certain values, or a text without certain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from relay.core.errors import Code
from relay.core.spawning import MAX_SUMMARY
from relay.core.states import State
from relay.core.values import frozen
from relay.spawn.agents import faults
from relay.spawn.agents.agent import Finding
from relay.spawn.agents.faults import Fault
from relay.spawn.agents.streams import LOGS, JsonReader, LastWords, plain, text_of

MAX_TEXT_LINE = 32 * 1024
_MISSING = object()


def at_path(value: Any, path: str) -> Any:
    """What stands at a path of keys, `result.status`; a mark of its own where nothing does."""
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            return _MISSING
        value = value[key]
    return value


@frozen
class Rule:
    """When a run is a success, beside exit code 0.

    Attributes:
        success: paths and values that the last object which has these paths has to have.
        failure: patterns; a line that one of them is found in means that it failed.
        session, summary: paths of the session's id and of the final words; empty for none.
    """

    success: Mapping[str, Any] = field(default_factory=dict)
    failure: tuple[re.Pattern[str], ...] = ()
    session: str = ""
    summary: str = ""


class ObjectReader(JsonReader):
    """Reads JSON lines of any program by a rule."""

    def __init__(self, agent: str, rule: Rule) -> None:
        super().__init__(agent)
        self._rule = rule
        self._last: dict[str, Any] | None = None
        self._session: str | None = None
        self._summary = ""

    def event(self, event: dict[str, Any]) -> list[str]:
        if all(at_path(event, path) is not _MISSING for path in self._rule.success):
            self._last = event
            self.final()
        if self._rule.session:
            self._session = text_of(at_path(event, self._rule.session)) or self._session
        said = at_path(event, self._rule.summary) if self._rule.summary else None
        if not isinstance(said, str) or not said.strip():
            return []
        self._summary = plain(said, MAX_SUMMARY)
        return [plain(said.strip(), 200)]

    def verdict(self, exit_code: int) -> Finding:
        common: dict[str, Any] = {"session": self._session, "summary": self._summary}
        if self._last is None:
            return self.no_result(exit_code, **common)
        for path, wanted in self._rule.success.items():
            found = at_path(self._last, path)
            if found != wanted or type(found) is not type(wanted):
                why = plain(f"{self._agent} says {path} = {found!r}, and success is {wanted!r}", 500)
                return Finding(State.FAILED, code=Code.AGENT_ERROR, why=why, hint=LOGS, **common)
        return by_exit_code(self._agent, exit_code, **common)


class TextReader:
    """Reads text for people: the last line is the summary, and some words mean that it failed.

    Args:
        agent: its name, for the words.
        failure: the words, as patterns over one line.
        log_in: the command that logs in to it.
    """

    def __init__(self, agent: str, failure: tuple[re.Pattern[str], ...] = (), log_in: str = "") -> None:
        self._agent = agent
        self._failure = failure
        self._log_in = log_in
        self._rest = {0: b"", 1: b""}
        self._fault: Fault | None = None
        self._out, self._errors = LastWords(), LastWords()

    def feed(self, stream: int, data: bytes) -> list[str]:
        """Take output; nothing is told on the way."""
        (self._errors if stream else self._out).hear(data)
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        self._rest[stream] = _ends(rest)
        for line in lines:
            self._line(_ends(line))
        return []

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        # what is known to be wrong is not taken back by more words about it
        is_known = self._fault is not None and self._fault.code is not Code.AGENT_ERROR
        if not is_known and any(each.search(text) for each in self._failure):
            self._fault = faults.fault_in(self._agent, text, self._log_in)

    def finding(self, exit_code: int) -> Finding:
        """What the text says about the end."""
        for rest in self._rest.values():
            self._line(rest)
        self._rest = {0: b"", 1: b""}
        summary = plain(self._out.line(), MAX_SUMMARY)
        if exit_code != 0 and self._fault is None and (last := self._errors.line() or summary):
            self._fault = faults.fault_in(self._agent, last, self._log_in)
            if self._fault.code is Code.AGENT_ERROR:  # nothing that is known: the status is what is sure
                self._fault = Fault(Code.EXIT_NONZERO, f"{self._agent} ended with exit code {exit_code}; last: {last}")
        if self._fault is not None:
            fault = self._fault
            return Finding(State.FAILED, summary, code=fault.code, why=fault.why, hint=fault.hint)
        return by_exit_code(self._agent, exit_code, summary=summary)


def _ends(line: bytes) -> bytes:
    """Both ends of a line: what means a failure stands at one of them."""
    return line if len(line) <= 2 * MAX_TEXT_LINE else line[:MAX_TEXT_LINE] + line[-MAX_TEXT_LINE:]


def by_exit_code(agent: str, exit_code: int, **more: Any) -> Finding:
    """The finding where all else is well."""
    if exit_code == 0:
        return Finding(State.COMPLETED, **more)
    why = f"{agent} ended with exit code {exit_code}"
    return Finding(State.FAILED, code=Code.EXIT_NONZERO, why=why, hint=LOGS, **more)

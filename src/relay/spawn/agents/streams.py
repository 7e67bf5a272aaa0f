"""What the readers of agents have in common: lines of JSON, the last words on standard error, text that can be kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from relay.core.errors import Code
from relay.core.states import State
from relay.spawn.agents.agent import Finding
from relay.spawn.agents.conductor.lines import MAX_LINE, Lines, tables

__all__ = [
    "LOGS", "MAX_LINE", "JsonReader", "LastWords", "numbers", "plain", "table", "tables", "text_of",
]

MAX_WORDS = 2_000
MAX_NUMBERS = 32
LOGS = "relay logs {id}"


def plain(value: object, most: int) -> str:
    """A value as text that store and wire can hold, at most so many characters."""
    # JSON may name half a surrogate pair (a text cut within an emoji), which neither can
    return str(value).encode("utf-8", "replace").decode()[:most]


def text_of(value: object) -> str | None:
    """The value, if it is a text; cut to what an id may have."""
    return plain(value, 128) if isinstance(value, str) else None


def table(value: object) -> dict[str, Any]:
    """The value, if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def numbers(value: object, names: dict[str, str] | None = None) -> dict[str, float]:
    """The numbers in an object that every reader of JSON keeps exact, at most 32.

    Args:
        value: the object.
        names: which of them, and what they are called then; None for all whole ones as they are.
    """
    given = table(value)
    if names is None:
        found = {plain(key, 64): each for key, each in given.items() if type(each) is int and _fits(each)}
    else:
        found = {
            name: given[key]
            for key, name in names.items()
            if type(given.get(key)) in (int, float) and _fits(given[key])
        }
    return dict(list(found.items())[:MAX_NUMBERS])


def _fits(number: float) -> bool:
    return -(2**53) < number < 2**53


class LastWords:
    """The end of what an agent wrote for people, for the reason of an end that it did not tell otherwise."""

    def __init__(self) -> None:
        self._end = b""

    def hear(self, data: bytes) -> None:
        """Take output."""
        self._end = (self._end + data)[-MAX_WORDS:]

    def line(self) -> str:
        """The last line that is not empty, at most 300 characters."""
        lines = [line.strip() for line in self._end.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""


class JsonReader(ABC):
    """Reads one JSON object a line from standard output; keys in any order, what it does not know passed over.

    Args:
        agent: its name, for the words.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._lines = Lines()
        self._errors = LastWords()

    def feed(self, stream: int, data: bytes) -> list[str]:
        """Take output and return lines of progress for people."""
        if stream != 0:
            self._errors.hear(data)
            return []
        return [word for event in self._lines.feed(data) for word in self.event(event)]

    def finding(self, exit_code: int) -> Finding:
        """What the output says about the end."""
        for event in self._lines.end():
            self.event(event)
        found = self.verdict(exit_code)
        if found.state is not State.COMPLETED or not self._lines.unread:
            return found
        why = f"{self._agent} said more after its result, which could not be read: it may have said that it failed"
        return replace(found, state=State.FAILED, code=Code.AGENT_NO_RESULT, why=why, hint=LOGS)

    def final(self) -> None:
        """Its final word was read: what could not be read before it says nothing about the end."""
        self._lines.unread = False

    @abstractmethod
    def event(self, event: dict[str, Any]) -> list[str]:
        """Take one event and return lines of progress for people."""

    @abstractmethod
    def verdict(self, exit_code: int) -> Finding:
        """What all events together say about the end."""

    def no_result(self, exit_code: int, last: str = "", **more: Any) -> Finding:
        """The finding where the output names no end.

        Args:
            exit_code: of the agent.
            last: the last thing known; else it is the last line on standard error.
            more: further fields.
        """
        unread = ", or none that could be read" if self._lines.unread else ""
        why = f"{self._agent} ended with exit code {exit_code} and gave no result{unread}"
        known = last or self._errors.line()
        return Finding(
            State.FAILED, code=Code.AGENT_NO_RESULT, why=f"{why}; last: {known}" if known else why, hint=LOGS, **more
        )

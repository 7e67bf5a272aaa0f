"""What a broker says of one of its agents, when it is asked: whether it is there, which version, who is logged in.

Nothing of it is kept: it holds for the moment it was said in, and a spawn finds out anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relay.core import ids
from relay.core.errors import PeerFault
from relay.core.field_checks import MAX_MOMENT
from relay.core.states import State
from relay.core.values import frozen

TEST_LABEL = "relay.test"
"""The label of a spawn that `relay agents test` asked for."""


@frozen
class Tested:
    """How the last test of an agent ended.

    Attributes:
        spawn: its id.
        at: when, milliseconds since 1970.
        state: a terminal one.
        reason: why, in words.
    """

    spawn: str
    at: int
    state: State
    reason: str


@frozen
class AgentFacts:
    """One agent of a broker.

    Attributes:
        name: what requests and grants call it.
        path: of its program; None where a task would find none.
        version: or empty.
        logged_in: None where nobody can say, or nobody need be.
        log_in: the command that logs in, or empty.
        note: what else is to be known of it, or empty.
        tested: its last test there, or None.
        runner: whether it is a function that a program offers; nothing is known of it before it is called.
        broken: whether agents.toml keeps it from running; `note` has what is wrong there.
    """

    name: str
    path: str | None
    version: str = ""
    logged_in: bool | None = None
    log_in: str = ""
    note: str = ""
    tested: Tested | None = None
    runner: bool = False
    broken: bool = False

    def after(self, tested: Tested) -> AgentFacts:
        """The same, with its last test."""
        return replace(self, tested=tested)

    def to_content(self) -> dict[str, Any]:
        """Its form in a message."""
        content = {key: getattr(self, key) for key in _CHECKS}
        content |= {key: True for key in _MARKS if getattr(self, key)}
        if self.tested is not None:
            content["tested"] = [self.tested.spawn, self.tested.at, str(self.tested.state), self.tested.reason]
        return content


def _text(most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and len(value) <= most


def _is_tested(value: object) -> bool:
    if value is None:
        return True
    if type(value) is not list or len(value) != 4:
        return False
    spawn, at, state, reason = value
    known = type(state) is str and state in State._value2member_map_
    return ids.is_spawn_id(spawn) and type(at) is int and 0 <= at <= MAX_MOMENT and known and _text(1000)(reason)


_CHECKS: dict[str, Callable[[object], bool]] = {
    "name": ids.is_name,
    "path": lambda value: value is None or _text(4096)(value),
    "version": _text(32),
    "logged_in": lambda value: value is None or type(value) is bool,
    "log_in": _text(256),
    "note": _text(500),
    "tested": _is_tested,
}


_MARKS = ("runner", "broken")  # only where they are so: an earlier relay did not tell them


def facts_from_content(content: object) -> AgentFacts:
    """One agent that another broker told of; unknown keys are ignored.

    Raises:
        PeerFault: it has another form.
    """
    if type(content) is not dict or not all(key in content and check(content[key]) for key, check in _CHECKS.items()):
        raise PeerFault("a list of agents was refused", why="one of them has another form")
    known = {key: content[key] for key in _CHECKS}
    if known["tested"] is not None:
        spawn, at, state, reason = known["tested"]
        known["tested"] = Tested(spawn, at, State(state), reason)
    return AgentFacts(**known, runner=content.get("runner") is True, broken=content.get("broken") is True)

"""What a person is told, away from the keyboard: which happenings, by which rules, in which words.

The words are derived from a spawn's real status and from nothing else: only what has completed, and whose agent does
not say that it failed, has "finished".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Protocol

from relay.core.ids import BrokerId
from relay.core.states import ENDED_BADLY, NEEDS_A_PERSON, TERMINAL, State
from relay.core.values import frozen

END, FAILURE, NEEDS, ASKED = "end", "failure", "needs", "asked"
ON = (END, FAILURE, NEEDS, ASKED)
MAX_LINE, MAX_FULL = 300, 3_000
MAX_LINK = 500
EVENT_CHARS = 12


class Happening(StrEnum):
    """What a person may be told of."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    NEEDS_YOU = "needs_you"
    TEST = "test"


class Told(Protocol):
    """A spawn as it is told of: a row of the store, or a word of its target with what its origin said of it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def requested_by(self) -> str: ...
    @property
    def target(self) -> BrokerId: ...
    @property
    def attempt(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def reason(self) -> str: ...
    @property
    def result(self) -> dict[str, Any] | None: ...
    @property
    def error(self) -> dict[str, Any] | None: ...
    @property
    def needs(self) -> dict[str, Any] | None: ...


@frozen
class Rules:
    """Which happenings a channel tells of. An empty filter lets everything through.

    Attributes:
        on: of `ON`: any end, failures, what needs a person, or only what was asked for with `--notify`.
        by: persons or clients that asked.
        labels: `KEY=VALUE` or `KEY`; one of them is enough.
        agents: names of agents.
        brokers: ids of the brokers that run it.
    """

    on: tuple[str, ...] = (END, NEEDS)
    by: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    brokers: tuple[BrokerId, ...] = ()

    def want(self, spawn: Told, happening: Happening, *, asked: bool) -> bool:
        """Whether to tell of it; what was asked for with `--notify` is told of whatever the rules."""
        if asked:
            return True
        wanted = {Happening.NEEDS_YOU: NEEDS in self.on, Happening.FAILED: FAILURE in self.on or END in self.on}
        return wanted.get(happening, END in self.on) and self._cover(spawn)

    def _cover(self, spawn: Told) -> bool:
        return (
            (not self.by or spawn.requested_by in self.by)
            and (not self.agents or spawn.agent in self.agents)
            and (not self.brokers or spawn.target in self.brokers)
            and (not self.labels or any(_has(spawn.labels, each) for each in self.labels))
        )

    def to_content(self) -> dict[str, list[str]]:
        """Its form in the store and in messages."""
        return {name: list(getattr(self, name)) for name in _RULES}


_RULES = ("on", "by", "labels", "agents", "brokers")


def _has(labels: dict[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def is_rules(content: object) -> bool:
    """Whether this is the form of rules."""
    if type(content) is not dict or set(content) != set(_RULES):
        return False
    lists = all(type(each) is list and len(each) <= 32 and all(map(_is_short, each)) for each in content.values())
    return lists and bool(content["on"]) and set(content["on"]) <= set(ON)


def _is_short(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= 256


def rules_from_content(content: Mapping[str, Sequence[str]]) -> Rules:
    """The rules in a form that `is_rules` accepts."""
    return Rules(**{name: tuple(content[name]) for name in _RULES})  # type: ignore[arg-type]


# what happened


def happening_of(spawn: Told) -> Happening | None:
    """What a person may be told of a spawn as it stands; None for nothing."""
    if spawn.state in NEEDS_A_PERSON:
        return Happening.NEEDS_YOU
    if spawn.state not in TERMINAL:
        return None
    if spawn.state is State.CANCELLED:
        return Happening.STOPPED
    failed = spawn.state in ENDED_BADLY or (spawn.result or {}).get("outcome") == "error"
    return Happening.FAILED if failed or spawn.state is not State.COMPLETED else Happening.FINISHED


def event_of(spawn: Told) -> str:
    """The id of what happened: the same on every broker, and whenever it is told again."""
    what = str((spawn.needs or {}).get("request", "")) if spawn.state in NEEDS_A_PERSON else "end"
    made = hashlib.sha256(f"{spawn.id}\0{spawn.attempt}\0{what}".encode()).hexdigest()
    return made[:EVENT_CHARS]


# in words


@frozen
class Words:
    """What is sent.

    Attributes:
        title: one line.
        body: short: where to look; full: with what came of it.
        level: for services that show one: `info`, `success`, `warning` or `failure`.
    """

    title: str
    body: str
    level: str = field(default="info")


_LEVELS = {
    Happening.FINISHED: "success",
    Happening.FAILED: "failure",
    Happening.STOPPED: "info",
    Happening.NEEDS_YOU: "warning",
    Happening.TEST: "info",
}


def line(spawn: Told, broker: str) -> str:
    """One true line on what happened to a spawn; `broker` is the name of the one that runs it."""
    happening = happening_of(spawn)
    return _cut(f"{spawn.name} on {broker} {_PHRASES[happening](spawn) if happening else spawn.state}")


def _finished(spawn: Told) -> str:
    waits = (spawn.result or {}).get("outcome") == "awaiting_approval"
    return "finished, waiting for your approval" if waits else "finished"


def _trouble(spawn: Told) -> str:
    error = spawn.error or {}
    words = spawn.reason or str(error.get("message", "")) or str((spawn.result or {}).get("summary", ""))
    return f"ran into trouble: {words or str(spawn.state).replace('_', ' ')}"


def _stopped(spawn: Told) -> str:
    return f"was stopped{f': {spawn.reason}' if spawn.reason else ''}"


def _needs(spawn: Told) -> str:
    text = str((spawn.needs or {}).get("text", "")) or spawn.reason
    return f"needs you{f': {text}' if text else ''}"


_PHRASES: dict[Happening, Callable[[Told], str]] = {
    Happening.FINISHED: _finished,
    Happening.FAILED: _trouble,
    Happening.STOPPED: _stopped,
    Happening.NEEDS_YOU: _needs,
}


def _cut(text: str, most: int = MAX_LINE) -> str:
    plain = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def words_of(spawn: Told, broker: str, *, link: str = "", full: bool = False) -> Words:
    """What is sent of a spawn as it stands.

    Args:
        spawn: it.
        broker: the name of the broker that runs it.
        link: an address in which `{spawn}` stands for its id; empty for the command that shows it.
        full: with the summary of what came of it.
    """
    happening, event = happening_of(spawn) or Happening.TEST, event_of(spawn)
    shown = link.replace("{spawn}", spawn.id) if link else f"relay show {spawn.id}"
    parts = [*(_more(spawn) if full else ()), f"{shown}\nevent {event}"]
    return Words(line(spawn, broker), "\n\n".join(parts), _LEVELS[happening])


def _more(spawn: Told) -> list[str]:
    result, error = spawn.result or {}, spawn.error or {}
    asked = f"asked by {spawn.requested_by}" if spawn.requested_by else ""
    facts = ", ".join(filter(None, [f"agent {spawn.agent}", asked, f"attempt {spawn.attempt}"]))
    summary = str(result.get("summary") or "")[:MAX_FULL]
    hint = str(error.get("hint") or "")[:MAX_LINE]
    return [part for part in (facts, summary, f"try: {hint}" if hint else "") if part]


def trial_words(channel: str, broker: str, event: str) -> Words:
    """What `relay notify test` sends over a channel, from the broker of this name."""
    return Words(_cut(f"Relay on {broker}: a test of {channel}"), f"This channel works.\nevent {event}")

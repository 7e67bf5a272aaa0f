"""What is sent where too much happened to be told one by one: counted by kind, what needs somebody named first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.core.notices import MAX_FULL, Happening, Words
from relay.core.values import frozen


class Single(Protocol):
    """One of them, as it would be told alone."""

    @property
    def event(self) -> str: ...
    @property
    def happening(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def level(self) -> str: ...


@frozen
class Together:
    """What is sent, and the events that are counted in it and not named."""

    words: Words
    unnamed: frozenset[str]


_PHRASES = {
    Happening.NEEDS_YOU: ("needs you", "need you"),
    Happening.FAILED: ("ran into trouble", "ran into trouble"),
    Happening.STOPPED: ("was stopped", "were stopped"),
    Happening.FINISHED: ("finished", "finished"),
}
_ORDER = {str(each): place for place, each in enumerate(_PHRASES)}


def words_together(told: Sequence[Single]) -> Together:
    """The words for one or more; for one, its own.

    Args:
        told: one or more.
    """
    if len(told) == 1:
        return Together(Words(told[0].title, told[0].body, told[0].level), frozenset())
    in_order = sorted(told, key=lambda each: (_ORDER.get(each.happening, 0), each.event))
    lines, room = [], MAX_FULL
    for each in in_order:
        line = f"{each.title} (event {each.event})"
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    left = in_order[len(lines) :]
    body = "\n".join([*lines, *([f"and {len(left)} more: relay notify sent"] if left else [])])
    return Together(Words(_title(told), body, in_order[0].level), frozenset(each.event for each in left))


def _title(told: Sequence[Single]) -> str:
    counts = {kind: sum(each.happening == kind for each in told) for kind in _PHRASES}
    parts = [f"{count} {_PHRASES[kind][count > 1]}" for kind, count in counts.items() if count]
    return f"{len(told)} spawns: {', '.join(parts)}"

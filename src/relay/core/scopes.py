"""What a device of the dashboard may ask for, in five words."""

from __future__ import annotations

from collections.abc import Iterable

from relay.core.errors import Misuse

VIEW, APPROVE, SPAWN, TERMINAL, TRUST = SCOPES = ("view", "approve", "spawn", "terminal", "trust")
PHONE = (VIEW, APPROVE, SPAWN)
"""What a phone is given where nothing is said: it neither opens terminals nor changes who may do what."""


def scopes_of(words: object) -> tuple[str, ...]:
    """The scopes in what a client sent, in their own order.

    Args:
        words: a list of words of `SCOPES`.

    Raises:
        Misuse: it is none, or empty.
    """
    given = tuple(words) if isinstance(words, list | tuple) else ()
    if not given or not all(word in SCOPES for word in given):
        raise Misuse(
            "what may that device do?",
            why=f"it is one or more of {', '.join(SCOPES)}",
            hint="relay dashboard --scopes view,approve",
        )
    return in_order(given)


def in_order(words: Iterable[str]) -> tuple[str, ...]:
    """The scopes among these words, each once."""
    given = set(words)
    return tuple(scope for scope in SCOPES if scope in given)

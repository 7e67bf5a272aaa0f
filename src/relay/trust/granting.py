"""From the words of a person to a change of trust.toml, and from a grant to what clients see of it.

The command and the control API both read and show grants by this.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from relay.core.allowlist import NO_RATE, Change, Grant, combined, profile
from relay.core.errors import Misuse
from relay.core.hours import Rate, rate_from_text
from relay.core.ids import BrokerId
from relay.core.moments import rfc3339
from relay.core.spawning import FRESH_DIRECTORY

ANY_TIME = "any"


def real_directory(text: str) -> str:
    """A folder as trust.toml holds it: a real absolute path, or `new`."""
    return text if text == FRESH_DIRECTORY else os.path.realpath(os.path.expanduser(text))


def rate(text: str | None) -> Rate | None:
    """The rate of a text such as `20/1h`; `none` takes one away, None leaves it.

    Raises:
        Misuse: it is no rate.
    """
    try:
        return None if text is None else (NO_RATE if text == NO_RATE.text else rate_from_text(text))
    except ValueError as error:
        raise Misuse("that cannot be granted", why=str(error), hint="relay trust allow --help") from None


def hours(texts: Sequence[str]) -> tuple[str, ...] | None:
    """The hours of spans of the week; `any` takes them away, none given leaves them."""
    if not texts:
        return None
    return () if list(texts) == [ANY_TIME] else tuple(texts)


def with_profile(name: str | None, change: Change) -> Change:
    """The change with what its profile adds.

    Raises:
        Misuse: there is no such profile.
    """
    return combined(profile(name), change) if name else change


def require_something(known: Collection[BrokerId], wanted: Collection[BrokerId], change: Change, hint: str) -> None:
    """Without any word a grant is only thawed; a first one would allow nothing.

    Args:
        known: who has a grant.
        wanted: who is to get one.
        change: what is added.
        hint: the command that says something.

    Raises:
        Misuse: somebody would get an empty one.
    """
    if change == Change() and not set(wanted) <= set(known):
        raise Misuse(
            "say what it may do here",
            why="without a profile, a verb, an agent or a folder the grant would allow nothing",
            hint=hint,
        )


def shown(grant: Grant, name: str) -> dict[str, Any]:
    """A grant as `trust list --json` shows it.

    Args:
        grant: the grant.
        name: what its broker is called here.
    """
    return {
        "broker": {"id": grant.broker, "name": name},
        "verbs": list(grant.verbs),
        "agents": list(grant.agents),
        "dirs": list(grant.dirs),
        "mode": grant.mode,
        "max_parallel": grant.max_parallel,
        "ask": grant.ask,
        "expires": None if grant.expires is None else rfc3339(grant.expires),
        "rate": grant.rate.text if grant.rate else None,
        "hours": list(grant.hours),
        "frozen": grant.frozen,
    }

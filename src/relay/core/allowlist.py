"""The allowlist's values: a grant, what `relay trust allow` changes in one, and the profiles.

The rules that judge by them are in `relay.core.grants`, the file in `relay.trust.grants`.
"""

from __future__ import annotations

import dataclasses

from relay.core.errors import Misuse
from relay.core.hours import Rate
from relay.core.ids import BrokerId
from relay.core.spawning import FRESH_DIRECTORY
from relay.core.values import frozen

VERBS = tuple("spawn view attach send stop approve handoff push message tool forward notify".split())
VERBS_BY_NAME = frozenset({"notify"})  # no profile has them: they let another machine speak from here
ANY_AGENT = "*"
DEFAULT_MODE = "edit"
DEFAULT_PARALLEL = 4
NEVER = 0
NO_RATE = Rate(0, 0, "none")


@frozen
class Grant:
    """What one identity may do on this machine.

    Attributes:
        broker: whose.
        verbs: of `VERBS`.
        agents: names, and `*` for all but `shell`, `exec` and `python`.
        dirs: real absolute paths, and `new` for a fresh folder.
        mode: how far an agent may go without asking: `plan`, `edit` or `full`.
        max_parallel: how many at once; more wait.
        ask: hold each request for a person.
        expires: milliseconds since 1970; None for never.
        frozen: a clone of that machine was seen; nothing is allowed until it is allowed again.
        rate: how many of its tasks may start in a time; more wait. None for any.
        hours: when its tasks may start, spans of the week in local time (`core/hours.py`); outside they wait, and it
            may only look, stop and have its person told. Empty for always.
    """

    broker: BrokerId
    verbs: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()
    mode: str = DEFAULT_MODE
    max_parallel: int = DEFAULT_PARALLEL
    ask: bool = False
    expires: int | None = None
    frozen: bool = False
    rate: Rate | None = None
    hours: tuple[str, ...] = ()


@frozen
class Change:
    """What `relay trust allow` adds to a grant. None leaves a value as it is.

    Attributes:
        verbs, agents, dirs: added to those there are.
        mode, max_parallel, ask: set.
        expires: milliseconds since 1970; `NEVER` (0) removes the date.
        rate: set; `NO_RATE` removes it.
        hours: set, in place of those there are; empty removes them.
    """

    verbs: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()
    mode: str | None = None
    max_parallel: int | None = None
    ask: bool | None = None
    expires: int | None = None
    rate: Rate | None = None
    hours: tuple[str, ...] | None = None


PROFILES: dict[str, Change] = {
    "read-only": Change(verbs=("view",)),
    "runner": Change(verbs=("spawn",), agents=(ANY_AGENT,), dirs=(FRESH_DIRECTORY,), mode="edit"),
    "full": Change(
        verbs=tuple(verb for verb in VERBS if verb not in VERBS_BY_NAME),
        agents=(ANY_AGENT, "shell", "exec", "python"),
        dirs=(FRESH_DIRECTORY,),
        mode="full",
    ),
}


def combined(first: Change, second: Change) -> Change:
    """One change that does what both do; where only one value fits, the second's counts."""
    return Change(
        verbs=_union(first.verbs, second.verbs),
        agents=_union(first.agents, second.agents),
        dirs=_union(first.dirs, second.dirs),
        mode=second.mode or first.mode,
        max_parallel=first.max_parallel if second.max_parallel is None else second.max_parallel,
        ask=first.ask if second.ask is None else second.ask,
        expires=first.expires if second.expires is None else second.expires,
        rate=second.rate or first.rate,
        hours=first.hours if second.hours is None else second.hours,
    )


def profile(name: str) -> Change:
    """The change a profile stands for.

    Raises:
        Misuse: there is no profile of that name.
    """
    if name not in PROFILES:
        raise Misuse(
            f"there is no profile {name[:40]!r}", why=f"the profiles are {', '.join(PROFILES)}", hint="--profile runner"
        )
    return PROFILES[name]


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(first + second))


def extended(grant: Grant, change: Change) -> Grant:
    """The grant after `relay trust allow`; it is thawed, and the right to spawn comes with an agent or directory.

    Args:
        grant: the existing one, or `Grant(broker)` for a first.
        change: what is added.
    """
    first_spawn = ("spawn",) if (change.agents or change.dirs) and not change.verbs else ()
    expires = grant.expires if change.expires is None else (change.expires or None)
    return dataclasses.replace(
        grant,
        verbs=_union(grant.verbs, change.verbs or first_spawn),
        agents=_union(grant.agents, change.agents),
        dirs=_union(grant.dirs, change.dirs),
        mode=change.mode or grant.mode,
        max_parallel=grant.max_parallel if change.max_parallel is None else change.max_parallel,
        ask=grant.ask if change.ask is None else change.ask,
        expires=expires,
        frozen=False,
        rate=grant.rate if change.rate is None else (None if change.rate == NO_RATE else change.rate),
        hours=grant.hours if change.hours is None else change.hours,
    )

"""What a trusted identity may do here: the grant, what is asked, and the verdict.

    judge(grant, asked, now, label)  →  Granted | Waiting | Denied

Default deny: no grant, no right. Every Denied carries the command that would mend it, to be typed on the
machine that denied. The file is in `relay.trust.grants`; here are the values and the rules.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from relay.core.allowlist import ANY_AGENT, DEFAULT_MODE, PROFILES, VERBS, Change, Grant, combined, extended, profile
from relay.core.errors import Code
from relay.core.hours import minutes_until_open
from relay.core.ids import BrokerId
from relay.core.spawning import FRESH_DIRECTORY, MODES
from relay.core.values import frozen

__all__ = [
    "PROFILES",
    "VERBS",
    "Asked",
    "Change",
    "Denied",
    "Grant",
    "Granted",
    "Verdict",
    "Waiting",
    "combined",
    "covers_agent",
    "covers_directory",
    "extended",
    "judge",
    "judge_chain",
    "profile",
]

BY_NAME_ONLY = frozenset({"shell", "exec", "python"})  # they take commands, so that "*" never covers them
OF_OWN_SPAWNS = frozenset({"view", "send", "stop"})  # implied by `spawn`, for the spawns one asked for
STARTING = frozenset({"spawn", "handoff"})
# what starts waits for its hour; to look, to stop and to tell a person harms nobody
AT_ANY_HOUR = STARTING | {"view", "stop", "notify"}
DEFAULT_DEPTH = 1
HERE = " here"
MINUTE_MS = 60_000
FOUR_CHOICES = "add --cwd DIR (a folder there), --cwd new (a fresh one), --repo URL[@REF], or --here (this tree)"


@frozen
class Asked:
    """One request, as the rules see it.

    Attributes:
        verb: of `VERBS`.
        agent: for what starts work.
        directory: the real path of `wanted_cwd` here, as far as it exists (`os.path.realpath`); else None.
        wanted_cwd: what was asked for: a path, `new`, or None.
        mode: the mode asked for.
        depth: how many spawns stand between a person and this one: the length of the chain.
        running: how many that origin has in hand here.
        own: for other verbs: whether the spawn concerned was asked for by the same origin.
        minute: of the week on this machine's clock, from Monday 00:00; None where hours are not looked at.
        next_start: when the grant's rate lets the next one start, milliseconds since 1970; None for now.
        by_name: the agent is granted by its name alone, as those of `BY_NAME_ONLY` are.
    """

    verb: str = "spawn"
    agent: str | None = None
    directory: str | None = None
    wanted_cwd: str | None = None
    mode: str = DEFAULT_MODE
    depth: int = 0
    running: int = 0
    own: bool = False
    minute: int | None = None
    next_start: int | None = None
    by_name: bool = False


@frozen
class Granted:
    """It may be done; `hold` when a person has to say yes first."""

    hold: bool = False


@frozen
class Waiting:
    """It may be done later; `why` is for people. `hold` as in `Granted`.

    `until` is when to look again, milliseconds since 1970; None where the end of another is what it waits for.
    `by_clock` where that is counted in hours that the clock on the wall shows, of which a day may have 23 or 25.
    """

    why: str
    hold: bool = False
    until: int | None = None
    by_clock: bool = False


@frozen
class Denied:
    """It may not be done: `Refused` in waiting, with the command that mends it."""

    code: Code
    message: str
    why: str
    hint: str

    def on(self, machine: str) -> str:
        """The message for who reads it on another machine: `here` is this one."""
        return self.message.removesuffix(HERE) + f" on {machine}" if self.message.endswith(HERE) else self.message


Verdict = Granted | Waiting | Denied


def covers_agent(agents: Sequence[str], agent: str) -> bool:
    """Whether these names allow that agent: by name, or by `*` unless it takes commands."""
    return agent in agents or (ANY_AGENT in agents and agent not in BY_NAME_ONLY)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def covers_directory(dirs: Sequence[str], directory: str) -> bool:
    """Whether a real path is one of these directories or lies below one, compared part by part."""
    wanted = _parts(directory)
    if not directory.startswith("/") or directory.startswith("//") or ".." in wanted:
        return False
    granted = [_parts(entry) for entry in dirs if entry.startswith("/")]
    return any(wanted[: len(parts)] == parts for parts in granted)


@frozen
class _Lack:
    code: Code
    message: str
    why: str
    flags: tuple[str, str]


def _lack_of_verb(grant: Grant, asked: Asked) -> _Lack | None:
    implied = asked.own and asked.verb in OF_OWN_SPAWNS and "spawn" in grant.verbs
    if asked.verb in grant.verbs or implied:
        return None
    have = ", ".join(grant.verbs) or "nothing"
    return _Lack(Code.NO_VERB, f"may not {asked.verb} here", f"its grant allows {have}", ("--verb", asked.verb))


def _lack_of_agent(grant: Grant, asked: Asked) -> _Lack | None:
    agent = asked.agent or ""
    if agent in grant.agents or (covers_agent(grant.agents, agent) and not asked.by_name):
        return None
    why = f"its grant allows the agents {', '.join(grant.agents) or '(none)'}"
    if asked.by_name and ANY_AGENT in grant.agents:
        why += f"; {agent} is a runner and is granted by name only"
    elif agent in BY_NAME_ONLY and ANY_AGENT in grant.agents:
        why += f"; {agent} takes commands and is granted by name only"
    return _Lack(Code.NO_AGENT, f"may not run the agent {agent} here", why, ("--agent", agent))


def _lack_of_directory(grant: Grant, asked: Asked) -> _Lack | None:
    fresh = asked.wanted_cwd == FRESH_DIRECTORY
    where = FRESH_DIRECTORY if fresh else (asked.directory or "")
    covered = FRESH_DIRECTORY in grant.dirs if fresh else covers_directory(grant.dirs, where)
    if not where or covered:  # what is no place at all is told by `_nowhere`: no grant could cover it
        return None
    what = "in a fresh folder" if fresh else f"in {where}"
    why = f"its grant allows the directories {', '.join(grant.dirs) or '(none)'}"
    return _Lack(Code.FOREIGN_DIRECTORY, f"may not work {what} here", why, ("--dir", where))


def _lack_of_mode(grant: Grant, asked: Asked) -> _Lack | None:
    if asked.mode in MODES and MODES.index(asked.mode) <= MODES.index(grant.mode):
        return None
    message = f"may not run an agent in mode {asked.mode} here"
    return _Lack(Code.MODE_BEYOND_GRANT, message, f"its grant goes up to {grant.mode}", ("--mode", asked.mode))


def _lacks(grant: Grant, asked: Asked) -> list[_Lack]:
    checks = [_lack_of_verb]
    if asked.verb in STARTING:
        checks += [_lack_of_agent, _lack_of_directory, _lack_of_mode]
    return [lack for check in checks if (lack := check(grant, asked)) is not None]


def _allow(label: str, lacks: Sequence[_Lack], *extra: str) -> str:
    flags = [lack.flags for lack in lacks]
    if any(flag in ("--agent", "--dir") for flag, _ in flags):  # either brings `spawn` by itself
        flags = [pair for pair in flags if pair != ("--verb", "spawn")]
    return shlex.join(["relay", "trust", "allow", label, *(word for pair in flags for word in pair), *extra])


def _no_grant(asked: Asked, label: str) -> Denied:
    lacks = _lacks(Grant(BrokerId("")), asked)
    why = "there is no grant for it in trust.toml; membership of the workspace gives no rights"
    return Denied(Code.NO_GRANT, f"{label} may do nothing here", why, _allow(label, lacks))


def _unusable(grant: Grant, lacks: Sequence[_Lack], now: int, label: str) -> Denied | None:
    expired = grant.expires is not None and now >= grant.expires
    hint = _allow(label, lacks, *(("--expires", "30d") if expired else ()))
    if grant.frozen:
        why = "two machines were seen with its identity: one is a clone or a restored copy"
        return Denied(Code.GRANT_FROZEN, f"the grant of {label} is frozen", why, hint)
    why = "the date in trust.toml has passed"
    return Denied(Code.GRANT_EXPIRED, f"the grant of {label} has expired", why, hint) if expired else None


def _too_deep(asked: Asked, max_depth: int) -> Denied | None:
    if asked.depth <= max_depth:
        return None
    why = f"each spawn started by a spawn is one deeper; this one is {asked.depth} deep, the limit is {max_depth}"
    hint = "start it yourself: relay spawn NAME AGENT TASK --broker BROKER"
    return Denied(Code.TOO_DEEP, "the chain of spawns is too deep", why, hint)


def _nowhere(asked: Asked) -> Denied | None:
    if asked.verb not in STARTING or asked.directory or asked.wanted_cwd == FRESH_DIRECTORY:
        return None
    wanted = asked.wanted_cwd
    why = "no directory was given" if wanted is None else f"{wanted[:200]!r} is no whole path on that machine"
    why += ", and a place is never guessed"
    return Denied(Code.NO_DIRECTORY, "where should it run?", why, FOUR_CHOICES)


def _first_lack(lacks: Sequence[_Lack], label: str) -> Denied | None:
    if not lacks:
        return None
    first = lacks[0]
    return Denied(first.code, f"{label} {first.message}", first.why, _allow(label, lacks))


def _closed_for(grant: Grant, asked: Asked) -> int:
    """Minutes until the grant's hours begin; 0 within them."""
    return 0 if asked.minute is None else minutes_until_open(grant.hours, asked.minute)


def _out_of_hours(grant: Grant, asked: Asked, label: str) -> Denied | None:
    if asked.verb in AT_ANY_HOUR or not _closed_for(grant, asked):
        return None
    why = f"its grant allows the hours {', '.join(grant.hours)}"
    hint = _allow(label, (), "--hours", "any")
    return Denied(Code.OUT_OF_HOURS, f"{label} may not {asked.verb} here at this hour", why, hint)


def _allowed(grant: Grant, asked: Asked, now: int) -> Granted | Waiting:
    if asked.verb not in STARTING:
        return Granted()
    if asked.running >= grant.max_parallel:
        why = f"{asked.running} of its tasks are in hand here; its grant allows {grant.max_parallel} at once"
        return Waiting(why, hold=grant.ask)
    if closed := _closed_for(grant, asked):
        why = f"its grant lets tasks start at {', '.join(grant.hours)}, local time"
        return Waiting(why, grant.ask, now - now % MINUTE_MS + closed * MINUTE_MS, by_clock=True)
    if grant.rate is not None and asked.next_start is not None and asked.next_start > now:
        return Waiting(f"its grant lets {grant.rate.text} start", grant.ask, asked.next_start)
    return Granted(hold=grant.ask)


def judge(grant: Grant | None, asked: Asked, now: int, label: str, max_depth: int = DEFAULT_DEPTH) -> Verdict:
    """Whether one identity may do what it asks.

    Args:
        grant: that identity's, or None.
        asked: the request.
        now: milliseconds since 1970.
        label: the identity's name or id for the sentences and the mending command.
        max_depth: the longest chain of spawns allowed.
    """
    if grant is None:
        return _no_grant(asked, label)
    lacks = _lacks(grant, asked)
    unusable = _unusable(grant, lacks, now, label) or _too_deep(asked, max_depth)
    lacking = [lack for lack in lacks if lack.code in (Code.NO_VERB, Code.NO_AGENT)]
    denied = unusable or (_first_lack(lacks, label) if lacking else _nowhere(asked) or _first_lack(lacks, label))
    return denied or _out_of_hours(grant, asked, label) or _allowed(grant, asked, now)


def judge_chain(
    requester: tuple[str, Grant | None],
    chain: Sequence[tuple[str, Grant | None]],
    asked: Asked,
    now: int,
    max_depth: int = DEFAULT_DEPTH,
) -> Verdict:
    """Whether a request may be done for everybody it came through: trust is never transitive.

    Args:
        requester: label and grant of the broker that asks.
        chain: the same of each broker on the request's chain of origin.
        asked: the request; its `running` counts for the requester alone.
        now: milliseconds since 1970.
        max_depth: the longest chain of spawns allowed.

    Returns:
        The first denial; else the first that has to wait; held when anybody's grant says `ask`.
    """
    verdict = judge(requester[1], asked, now, requester[0], max_depth)
    uncounted = dataclasses.replace(asked, running=0, next_start=None)
    others = [judge(grant, uncounted, now, label, max_depth) for label, grant in chain]
    for each in (verdict, *others):
        if isinstance(each, Denied):
            return each
    waiting = next((each for each in (verdict, *others) if isinstance(each, Waiting)), None)
    held = any(not isinstance(each, Denied) and each.hold for each in (verdict, *others))
    return Granted(held) if waiting is None else dataclasses.replace(waiting, hold=held)

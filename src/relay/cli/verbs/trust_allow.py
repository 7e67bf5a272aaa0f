"""`relay trust allow`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relay.api.client import not_set_up
from relay.cli import granting, members, speech
from relay.core.allowlist import Change
from relay.core.errors import Misuse
from relay.trust import grants

if TYPE_CHECKING:
    from relay.api.roster import Member
    from relay.cli.invocation import Invocation


def run(
    invocation: Invocation,
    *,
    brokers: list[str],
    profile: str | None,
    verbs: list[str],
    agents: list[str],
    dirs: list[str],
    mode: str | None,
    max_parallel: int | None,
    ask: bool | None,
    expires: str | None,
    rate: str | None,
    hours: list[str],
) -> int:
    """Write a grant for each of these brokers."""
    home = invocation.home
    if not home.is_set_up:
        raise not_set_up(home)
    typed = Change(
        verbs=tuple(verbs),
        agents=tuple(agents),
        dirs=granting.directories(dirs),
        mode=mode,
        max_parallel=max_parallel,
        ask=ask,
        expires=granting.expiry(expires),
        rate=granting.rate(rate),
        hours=granting.hours(hours),
    )
    change = granting.with_profile(profile, typed)
    meant = [members.meant(home, text) for text in brokers]
    _require_something(invocation, meant, change)
    given = [granting.give(home, member, change) for member in meant]
    if invocation.json:
        speech.document([granting.shape(home, grant) for grant in given])
    else:
        for grant in given:
            granting.say(home, grant)
    return 0


def _require_something(invocation: Invocation, meant: list[Member], change: Change) -> None:
    """Without any word a grant is only thawed; for a first one that would allow nothing."""
    known = grants.load(Path(invocation.home.trust))
    if change == Change() and any(member.id not in known for member in meant):
        raise Misuse(
            "say what it may do here",
            why="without a profile, a verb, an agent or a folder the grant would allow nothing",
            hint=invocation.home.command(f"trust allow {meant[0].name or meant[0].id} --profile runner --dir FOLDER"),
        )

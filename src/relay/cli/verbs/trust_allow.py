"""`relay trust allow`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relay.api.client import not_set_up
from relay.cli import granting, members, speech
from relay.core.allowlist import Change
from relay.trust import granting as words
from relay.trust import grants

if TYPE_CHECKING:
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
        rate=words.rate(rate),
        hours=words.hours(hours),
    )
    change = words.with_profile(profile, typed)
    meant = [members.meant(home, text) for text in brokers]
    hint = home.command(f"trust allow {meant[0].name or meant[0].id} --profile runner --dir FOLDER")
    words.require_something(grants.load(Path(home.trust)), [member.id for member in meant], change, hint)
    given = [granting.give(home, member, change) for member in meant]
    if invocation.json:
        speech.document([granting.shape(home, grant) for grant in given])
    else:
        for grant in given:
            granting.say(home, grant)
    return 0

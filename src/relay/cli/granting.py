"""What `trust allow` and `join --allow` have in common: from words to a change of trust.toml."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from relay.api import durations
from relay.api.durations import rfc3339
from relay.cli import members, speech
from relay.cli.clean import clean
from relay.core.allowlist import NEVER, Change, Grant
from relay.core.errors import Misuse
from relay.core.ids import grouped
from relay.core.spawning import FRESH_DIRECTORY
from relay.trust import granting, grants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.home import Home
    from relay.api.roster import Member
    from relay.api.shapes import GrantShown


def directories(texts: Sequence[str]) -> tuple[str, ...]:
    """Folders as trust.toml holds them: real absolute paths, and `new`."""
    return tuple(map(_directory, texts))


def _directory(text: str) -> str:
    real = granting.real_directory(text)
    if real != FRESH_DIRECTORY and not os.path.isdir(real):
        speech.note(f"note: there is no folder {clean(real)} on this machine yet")
    return real


def expiry(text: str | None) -> int | None:
    """Milliseconds since 1970 of an `--expires`; `never` takes a date away."""
    if text is None:
        return None
    if text == "never":
        return NEVER
    try:
        return int((time.time() + durations.parse(text)) * 1000)
    except Misuse as fault:
        why = "a grant ends after a duration such as 12h or 30d, or `never`"
        raise Misuse(fault.message, code=fault.code, why=why, hint="--expires 30d") from None


def give(home: Home, member: Member, change: Change) -> Grant:
    """Write the grant and tell a running broker of it.

    Raises:
        Refused: `task_scope`: a task asks.
    """
    members.require_person(home)
    grant = grants.allow(Path(home.trust), member.id, member.name, change)
    members.tell_of_grants(home)
    return grant


def shape(home: Home, grant: Grant) -> GrantShown:
    """A grant as `trust list --json` shows it."""
    return cast("GrantShown", granting.shown(grant, members.label(home, grant.broker)))


def say(home: Home, grant: Grant) -> None:
    """Say what a broker may do here now, with the fingerprint to compare."""
    name = members.label(home, grant.broker) or grant.broker[:8]
    speech.say(f"{clean(name)} may now, on this machine: {', '.join(grant.verbs) or 'nothing'}")
    speech.say(f"  agents   {', '.join(grant.agents) or 'none'}")
    speech.say(f"  folders  {', '.join(map(clean, grant.dirs)) or 'none'}")
    speech.say(f"  mode     {grant.mode}, {grant.max_parallel} at once" + (", each held for you" if grant.ask else ""))
    if grant.rate or grant.hours:
        rated = [f"{grant.rate.text} may start"] if grant.rate else []
        speech.say(f"  when     {'; '.join([*rated, *grant.hours])}")
    speech.say(f"  until    {rfc3339(grant.expires) if grant.expires is not None else 'you revoke it'}")
    speech.say(f"  id       {grouped(grant.broker)}")

"""`relay trust revoke`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relay.cli import members, speech
from relay.cli.clean import clean
from relay.trust import grants
from relay.trust.identity import load_identity

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, broker: str) -> int:
    """Take all rights from a broker."""
    home = invocation.home
    member = members.meant(home, broker)
    members.require_person(home)
    had = grants.revoke(Path(home.trust), member.id)
    running = members.tell_of_grants(home) if had else False
    if invocation.json:
        speech.document({"broker": {"id": member.id, "name": member.name}, "revoked": had})
        return 0
    name = clean(member.name or member.id[:8])
    if had and member.id == load_identity(Path(home.identity_key)).id:
        speech.say(f"the grant of {name} is gone; this is {name}, and what it does here goes by no grant")
        return 0
    speech.say(f"{name} may no longer act here" if had else f"{name} had no grant here")
    if had and running:
        speech.note("its tasks here are being stopped, its queue is dropped, the link with it is closed")
    return 0

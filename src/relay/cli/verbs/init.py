"""`relay init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.api import config
from relay.cli import naming, speech
from relay.core.errors import Misuse
from relay.trust import founding
from relay.trust.identity import load_identity

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, name: str | None, listen: list[str]) -> int:
    """Make the broker's files."""
    home = invocation.home
    for address in listen:
        _require_address(address)
    called = naming.chosen(name)
    workspace = founding.found(home, called, naming.now())
    naming.write_settings(home, called, listen)
    broker = load_identity(naming.path_of(home.identity_key)).id
    document = naming.founded(home, broker, called, workspace)
    if invocation.json:
        speech.document(document)
        return 0
    speech.say(f"broker {called} is set up in {home.path}")
    speech.note(f"next:  {home.command('up --detach')}")
    speech.note(f"then:  {home.command('invite --link')}   to bring in another machine")
    return 0


def _require_address(text: str) -> None:
    try:
        config.split_address(text)
    except ValueError as fault:
        hint = "--listen [::]:7411" if "%" in text else "--listen 0.0.0.0:7411"
        raise Misuse(f"{text[:80]!r} is no address", why=str(fault), hint=hint) from None

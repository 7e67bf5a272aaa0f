"""`relay join`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from relay.api import config, routes
from relay.api.client import Client
from relay.cli import granting, members, naming, progress, speech, unseen
from relay.cli.clean import clean
from relay.core.allowlist import Change
from relay.core.errors import Code, Misuse, RelayError, Unreachable
from relay.trust import joining
from relay.trust.granting import with_profile

if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.api.pairing_shapes import Founded
    from relay.cli.invocation import Invocation
    from relay.core.allowlist import Grant

DEFAULT_PROFILE = "runner"
ASK = "relay join, then paste what relay invite printed on the other machine"
BACK_S, BACK_PAUSE_S = 10.0, 0.02


def run(
    invocation: Invocation,
    *,
    invite: str | None,
    address: str | None,
    name: str | None,
    allow: str | None,
    profile: str | None,
    dirs: list[str],
) -> int:
    """Enter a workspace; with --allow also let one of its members act here."""
    if allow is None and (profile or dirs):
        raise Misuse("--profile and --dir belong to --allow", hint="relay join --allow BROKER --profile runner")
    change = with_profile(profile or DEFAULT_PROFILE, Change(dirs=granting.directories(dirs)))
    if invite is None or invite == "-":
        invite, address = _asked_for(address)
    home = invocation.home
    with progress.Shown("entering the workspace", quiet=invocation.json):
        document = _joined(home, invite, address, name)
    grant = granting.give(home, members.meant(home, allow), change) if allow else None
    if invocation.json:
        speech.document({**document, "grant": granting.shape(home, grant) if grant else None})
    else:
        _say(invocation, document, grant)
    return 0


def _asked_for(address: str | None) -> tuple[str, str | None]:
    """What was pasted, or came by the standard input: a link, or a code and, where it is not known yet, its address."""
    words = unseen.line("link or code (it is not shown): ").split()
    if words[:2] == ["relay", "join"]:
        words = words[2:]  # the whole line was copied
    if not words:
        raise Misuse("there is no link and no code", why="nothing came", hint=ASK)
    if address is None and len(words) > 1 and ":" in words[-1]:
        address = words.pop()
    return " ".join(words).strip("'\""), address


def _joined(home: Home, invite: str, address: str | None, name: str | None) -> Founded:
    try:
        document = by_broker(home, invite, address, name)
    except RelayError as fault:
        if fault.code not in (Code.NOT_RUNNING, Code.NOT_SET_UP):
            raise
        return without_broker(home, invite, address, name)
    return {**document, "home": home.path}


def by_broker(home: Home, invite: str, address: str | None, name: str | None) -> Founded:
    """Let the running broker join.

    Raises:
        RelayError: `not_running` where there is none.
    """
    with Client(home) as client:
        document = client.ask(routes.join(invite, name, address=address))
    _until_back(home, document["workspace"]["id"])
    return document


def _until_back(home: Home, workspace: str) -> None:
    """The broker starts anew in its new workspace: the command that follows this one is to find it there."""
    until = time.monotonic() + BACK_S
    while time.monotonic() < until:
        try:
            with Client(home) as client:
                if client.ask(routes.status())["workspace"]["id"] == workspace:
                    return
        except Unreachable:
            pass
        time.sleep(BACK_PAUSE_S)


def without_broker(home: Home, invite: str, address: str | None, name: str | None) -> Founded:
    """Join by writing the home's files; the next `up` takes them in."""
    members.require_person(home)
    settings = config.load(home)
    called = naming.chosen(name or settings.name)
    # a port that is taken when the broker starts is not known yet; its record will say it
    known = [each for each in settings.listen if not each.endswith(":0")]
    joined = asyncio.run(joining.join(home, invite, address, called, known))
    naming.write_settings(home, called, ())
    return {**naming.founded(home, joined.own, called, joined.workspace), "compare": joined.compared}


def _say(invocation: Invocation, document: Founded, grant: Grant | None) -> None:
    home = invocation.home
    speech.say(f"{clean(document['broker']['name'])} is a member of {clean(document['workspace']['name'])}")
    if words := document.get("compare"):
        speech.say(f"compare with the other screen: {words}")
    if grant is not None:
        granting.say(home, grant)
    else:
        speech.note("Membership alone gives no right to run anything here. To let a member run work on this machine:")
        speech.note(f"  {home.command('trust allow BROKER --profile runner --dir FOLDER')}")
    speech.note(f"next:  {home.command('up --detach')}   where it does not run yet, then {home.command('brokers')}")

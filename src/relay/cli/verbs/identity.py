"""`relay identity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relay.api import config, routes
from relay.api.client import Client, not_set_up
from relay.cli import members, naming, speech, unseen
from relay.core import ids
from relay.trust import exported, renewing
from relay.trust.identity import load_identity

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def show(invocation: Invocation) -> int:
    """Print the id."""
    home = invocation.home
    if not home.is_set_up:
        raise not_set_up(home)
    broker = load_identity(Path(home.identity_key)).id
    called = naming.chosen(config.load(home).name)
    if invocation.json:
        speech.document({"id": broker, "name": called, "grouped": ids.grouped(broker)})
    else:
        speech.say(f"{called}  {ids.grouped(broker)}")
    return 0


def keep(invocation: Invocation) -> int:
    """Let the running broker take work in again."""
    with Client(invocation.home) as client:
        answer = client.ask(routes.identity_keep())
    if invocation.json:
        speech.document(answer)
    elif answer.get("was_stopped"):
        speech.say("this machine counts as the real one; work is taken in again")
        speech.note("brokers that saw the older copy have frozen its grant: on each, relay trust allow NAME")
    else:
        speech.say("nothing was stopped: no broker has seen a later start of this one")
    return 0


def export(invocation: Invocation, *, file: str) -> int:
    """Write the keys into a file under a passphrase."""
    home = invocation.home
    if not home.is_set_up:
        raise not_set_up(home)
    members.require_person(home)
    to = Path(file).expanduser().absolute()
    exported.require_free(to)
    broker = exported.export(home, to, unseen.asked(twice=True)).id
    if invocation.json:
        speech.document({"id": broker, "file": str(to)})
        return 0
    speech.say(f"the keys of {broker[:8]} are in {to}")
    speech.note("keep it and the passphrase apart; to use it on a machine that takes this one's place:")
    speech.note(f"relay identity import {file}")
    return 0


def take_back(invocation: Invocation, *, file: str) -> int:
    """Put exported keys into this home."""
    home = invocation.home
    members.require_person(home)
    broker = exported.take_back(home, Path(file).expanduser().absolute(), unseen.asked(twice=False)).id
    if invocation.json:
        speech.document({"id": broker, "home": home.path})
        return 0
    speech.say(f"this machine is {broker[:8]} again; no other may go on with these keys")
    speech.note(f"next:  {home.command('up --detach')}")
    speech.note(f"then, where doctor says that its store is older:  {home.command('identity keep')}")
    return 0


def new(invocation: Invocation, *, name: str | None) -> int:
    """Become another broker."""
    home = invocation.home
    members.require_person(home)
    called = naming.chosen(name or config.load(home).name)
    former, workspace, folder = renewing.renew(home, called, naming.now())
    broker = load_identity(Path(home.identity_key)).id
    founded = naming.founded(home, broker, called, workspace)
    if invocation.json:
        left = None if former is None else {"id": former.id, "signed": former.signed, "signers": list(former.signers)}
        was = None if former is None else former.id
        speech.document({**founded, "former": was, "left": left, "moved_to": str(folder)})
        return 0
    speech.say(f"this machine is a new broker: {broker[:8]}, with a workspace of its own and no grants")
    speech.note(f"what the former one left is in {folder}; remove it once nothing of it is missed")
    if former is not None:
        _say_evict(former)
    join = home.command("join CODE HOST:PORT")
    speech.note(f"to come back into a workspace: relay invite there, and here {join}")
    return 0


def _say_evict(former: renewing.Former) -> None:
    where = " or ".join(former.signers) or "one that signs the roster"
    if former.signed:
        speech.note(f"{former.id[:8]} signs the roster: until it is put out, whoever has those keys still does")
    speech.note(f"unless another machine goes on as {former.id[:8]}, on {where}: relay broker evict {former.id[:8]}")

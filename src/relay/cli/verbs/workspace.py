"""`relay workspace`: its key's epochs."""

from __future__ import annotations

from relay.api import roster_routes
from relay.cli import ages, speech, table
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.roster_shapes import WorkspaceShown
    from relay.api.shapes import Named
    from relay.cli.invocation import Invocation


def show(invocation: Invocation) -> int:
    """Show the workspace and its epochs."""
    found = invocation.client().ask(roster_routes.workspace())
    if invocation.json:
        speech.document(found)
        return 0
    table.facts(
        [
            ("name", found["name"]),
            ("id", found["id"]),
            ("created by", f"{found['root']['name']}  {found['fingerprint']}"),
            ("signed by", _names(found["signers"]) + (", which is this machine" if found["may_sign"] else "")),
            ("members", str(found["members"])),
            ("epoch", _epoch(found)),
            ("not seen in it", _names(found["not_seen_in_it"])),
        ]
    )
    return 0


def _epoch(found: WorkspaceShown) -> str:
    if found["since"] is None or found["by"] is None:
        return f"{found['epoch']}, its first"
    return f"{found['epoch']}, begun {ages.since(found['since'])} ago by {found['by']['name']}"


def _names(brokers: list[Named]) -> str:
    return ", ".join(each["name"] for each in brokers)


def rotate(invocation: Invocation) -> int:
    """Begin a new epoch."""
    found = invocation.client().ask(roster_routes.workspace_rotate())
    if invocation.json:
        speech.document(found)
        return 0
    space = found["workspace"]
    speech.say(f"epoch {space['epoch']} of {clean(space['name'])} begins; the broker starts anew with its key")
    if found["waiting_for"]:
        who = clean(_names(found["waiting_for"]))
        speech.note(f"each gets the key when it meets a machine that has it, however long it sleeps: {who}")
        speech.note(f"who has come with it: {invocation.home.command('workspace show')}")
    return 0

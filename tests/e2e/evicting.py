"""Putting a member out of a workspace, in the files of its creator, whose broker is down."""

from __future__ import annotations

import time
from pathlib import Path

from relay.api.home import Home
from relay.core.ids import BrokerId
from relay.testing.node import Node
from relay.trust.founding import present_roster, read_addresses, read_statements, write_roster
from relay.trust.identity import load_identity
from relay.trust.roster import evict
from relay.trust.workspace import load_workspace


def put_out(hub: Node, member: Node) -> None:
    """Sign the statement and add it to `roster.json`; `hub` takes it in when it starts."""
    home = Home(str(hub.home))
    identity, workspace = load_identity(Path(home.identity_key)), load_workspace(Path(home.workspace_key))
    roster = present_roster(home)
    assert roster is not None
    statement = evict(identity, workspace, roster, BrokerId(member.id), time.time_ns() // 1_000_000)
    names = {each.id: (each.name, read_addresses(home).get(each.id, ())) for each in roster.members.values()}
    write_roster(home, [*read_statements(home), statement.raw], names)

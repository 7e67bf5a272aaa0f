"""Taking a home's files in at the start: its keys, and the roster that `init` or `join` left there."""

from __future__ import annotations

from pathlib import Path

from relay.api.home import Home
from relay.broker.roster import pass_over
from relay.core.errors import Code, LocalFault
from relay.core.roster import Roster, fold
from relay.core.statements import Statement
from relay.core.values import frozen
from relay.store import meta, peers, statements
from relay.store.peers import Peer
from relay.store.query import Tx
from relay.store.statements import StatementRow
from relay.trust.founding import read_addresses, read_statements
from relay.trust.identity import Identity, load_identity
from relay.trust.roster import keys_of, verify_statements
from relay.trust.workspace import Workspace, load_workspace

_WORKSPACE = "workspace"


@frozen
class Keys:
    """What makes this broker itself."""

    identity: Identity
    workspace: Workspace


def load_keys(home: Home) -> Keys:
    """The keys of a home.

    Raises:
        LocalFault: `not_set_up`, or `bad_key_file`.
    """
    return Keys(load_identity(Path(home.identity_key)), load_workspace(Path(home.workspace_key)))


def take_in(tx: Tx, home: Home, keys: Keys) -> tuple[int, Roster, list[Statement]]:
    """Bring the store to what the files say, and count this start.

    Returns:
        This start's incarnation counter, the roster, and the statements that it is of: verified, once each.

    Raises:
        LocalFault: the roster does not admit this broker.
    """
    if meta.get(tx, _WORKSPACE) not in (None, keys.workspace.id):
        # an empty workspace was left for another one
        statements.clear(tx)
    meta.put(tx, _WORKSPACE, keys.workspace.id)
    read = _read(tx, home, keys.workspace)
    roster = fold(keys.workspace.root_public, read)
    if keys.identity.id not in roster.members:
        raise _not_on_roster(home)
    _take_in_peers(tx, home, keys, roster)
    return meta.raise_incarnation(tx), roster, read


def _read(tx: Tx, home: Home, workspace: Workspace) -> list[Statement]:
    """What the store keeps of this workspace, and what the file has beside it; each is verified once."""
    kept = [row.bytes for row in statements.ALL.all(tx)]
    read, unknown = verify_statements(workspace, kept, on_fault=pass_over)
    of_file = set(read_statements(home)) - set(kept)
    new, _ = verify_statements(workspace, [*of_file, *unknown], keys_of(read), on_fault=lambda fault: None)
    for found in new:
        statements.add(tx, StatementRow(found.hash, found.signer, found.seq, found.raw))
    return [*read, *new]


def _take_in_peers(tx: Tx, home: Home, keys: Keys, roster: Roster) -> None:
    places = read_addresses(home)
    for member in roster.members.values():
        if member.id != keys.identity.id and peers.BY_ID.one(tx, id=member.id) is None:
            addresses = tuple(places.get(member.id, ()))
            peers.upsert(tx, Peer(member.id, member.public, member.sealing_public, member.name, addresses))


def _not_on_roster(home: Home) -> LocalFault:
    return LocalFault(
        "this broker is not on the roster of its workspace",
        code=Code.NOT_SET_UP,
        why=f"{home.roster} does not admit it: a join was cut off, or the file was replaced",
        hint=home.command("join") + ", with the same link or a new one",
    )

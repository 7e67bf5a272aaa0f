"""A home's first files: identity, workspace, roster. `relay init` writes files only; `up` takes them in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from relay.core.errors import Code, LocalFault, Misuse
from relay.core.ids import BrokerId
from relay.core.roster import Roster, fold
from relay.core.statements import Statement
from relay.trust.identity import Identity, load_identity, save_identity
from relay.trust.keyfile import replace_private
from relay.trust.roster import admit, member_of, verify_statements
from relay.trust.workspace import NONCE_BYTES, Workspace, load_workspace, save_workspace

MAX_ROSTER_FILE = 64 * 1024 * 1024
WORKSPACE_SUFFIX = "-workspace"


class HomeFiles(Protocol):
    """Where the files stand; `relay.api.home.Home` is one."""

    @property
    def path(self) -> str: ...
    @property
    def identity_key(self) -> str: ...
    @property
    def workspace_key(self) -> str: ...
    @property
    def roster(self) -> str: ...


def make_home(home: HomeFiles) -> None:
    """Make the home folder, 0700.

    Raises:
        LocalFault: it cannot be made.
    """
    try:
        os.makedirs(home.path, mode=0o700, exist_ok=True)
        os.chmod(home.path, 0o700)
    except OSError as error:
        raise LocalFault(
            f"{home.path} cannot be made", code=Code.STORE_FAULT, why=error.strerror or "", hint="choose another --home"
        ) from None


def own_identity(home: HomeFiles) -> Identity:
    """The identity of this home; made where there is none."""
    path = Path(home.identity_key)
    if not path.exists():
        make_home(home)
        save_identity(path, Identity.create(os.urandom(32), os.urandom(32)))
    return load_identity(path)


def found(home: HomeFiles, name: str, now: int) -> Workspace:
    """Make identity and a workspace of its own for a fresh home.

    Args:
        home: where.
        name: this broker's label.
        now: milliseconds since 1970.

    Raises:
        Misuse: `already_set_up`.
        LocalFault: a file cannot be written.
    """
    if Path(home.workspace_key).exists():
        raise Misuse(
            f"{home.path} is set up already",
            code=Code.ALREADY_SET_UP,
            why="it has a workspace",
            hint="relay up" if Path(home.identity_key).exists() else "relay identity new",
        )
    identity = own_identity(home)
    workspace = Workspace.create(os.urandom(32), f"{name}{WORKSPACE_SUFFIX}"[:64], identity, os.urandom(NONCE_BYTES))
    empty = fold(identity.public, [])
    first = admit(identity, workspace, empty, member_of(identity, name, now), now)
    write_roster(home, [first.raw], {identity.id: (name, ())})
    # last, because its presence is what "set up" means
    save_workspace(Path(home.workspace_key), workspace)
    return workspace


def write_roster(
    home: HomeFiles,
    statements: Iterable[bytes],
    members: Mapping[BrokerId, tuple[str, Sequence[str]]],
    aliases: Mapping[BrokerId, str] | None = None,
) -> None:
    """Write roster.json: the statements, and for people's commands the members' names and addresses.

    Args:
        aliases: what members are called on this machine alone.
    """
    called = aliases or {}
    document = {
        "members": [
            {"id": broker, "name": name, "addresses": list(addresses)}
            | ({"alias": called[broker]} if broker in called else {})
            for broker, (name, addresses) in members.items()
        ],
        "statements": [raw.hex() for raw in statements],
    }
    replace_private(Path(home.roster), json.dumps(document, indent=1).encode() + b"\n", Code.STORE_FAULT)


def _roster_document(home: HomeFiles) -> dict[str, Any]:
    try:
        data = Path(home.roster).read_bytes()[:MAX_ROSTER_FILE]
        document = json.loads(data)
    except FileNotFoundError:
        return {}
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _bad_roster(home, "it is not the JSON that relay writes there")
    return document


def _bad_roster(home: HomeFiles, why: str) -> LocalFault:
    hint = "restore it from a backup, or remove it: a broker that has run writes it again"
    return LocalFault(f"{home.roster} cannot be read", code=Code.STORE_FAULT, why=why, hint=hint)


def read_statements(home: HomeFiles) -> list[bytes]:
    """The statements in roster.json, as bytes, not verified.

    Raises:
        LocalFault: the file is broken.
    """
    texts = _roster_document(home).get("statements", [])
    try:
        return [bytes.fromhex(text) for text in texts]
    except (TypeError, ValueError):
        raise _bad_roster(home, "a statement in it is damaged") from None


def read_addresses(home: HomeFiles) -> dict[BrokerId, tuple[str, ...]]:
    """The members' addresses in roster.json: hints, checked where they are used."""
    entries = _roster_document(home).get("members", [])
    found_entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {
        BrokerId(str(entry.get("id"))): tuple(each for each in entry.get("addresses", []) if isinstance(each, str))
        for entry in found_entries
        if isinstance(entry.get("addresses"), list)
    }


def verified_statements(home: HomeFiles, workspace: Workspace) -> list[Statement]:
    """The statements in roster.json that are of this workspace.

    Others are passed over: a join that was cut off between its two files left them, and is repeated.

    Raises:
        LocalFault: the file is broken.
    """
    return verify_statements(workspace, read_statements(home), on_fault=lambda fault: None)[0]


def present_roster(home: HomeFiles) -> Roster | None:
    """The roster of the workspace this home is in, or None where it is in none.

    Raises:
        LocalFault: a file is broken.
    """
    if not Path(home.workspace_key).exists():
        return None
    workspace = load_workspace(Path(home.workspace_key))
    return fold(workspace.root_public, verified_statements(home, workspace))

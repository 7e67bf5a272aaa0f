"""Another identity for a machine: what the former one left is moved aside, and nothing of it is used again."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from relay.core import ids
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.trust.founding import HomeFiles, found, present_roster
from relay.trust.identity import load_identity
from relay.trust.workspace import Workspace, load_workspace

FOLDER = "former"
# the identity first: what is left where the move is cut off is no broker; the workspace's key last, by which the next
# try knows that there is something to go on with
_FIRST, _LAST = "identity.key", "workspace.key"
_MOVED = ("roster.json", "trust.toml", "seen.json", "attempts", "blobs", "backups")
_STORE = "relay.db*"


@frozen
class Former:
    """Whom a machine was before.

    Attributes:
        id: its former id.
        signed: whether that signs the roster of the workspace that it leaves.
        signers: what the others are called that sign it, the creator first.
    """

    id: BrokerId
    signed: bool = False
    signers: tuple[str, ...] = ()


def renew(home: HomeFiles, name: str, now: int) -> tuple[Former | None, Workspace, Path]:
    """Make a new identity and a workspace of its own; config.toml, agents.toml and what agents worked on stay.

    Args:
        home: of a machine whose broker is down and runs nothing.
        name: this broker's label.
        now: milliseconds since 1970.

    Returns:
        The former broker (None where an earlier try had moved it), the new workspace, and where the former files are.

    Raises:
        Misuse: it created a workspace with other members, or tasks still run here.
        LocalFault: `not_set_up`, `already_running`, or a file cannot be moved.
    """
    former = _former(home)
    with _alone(home):
        _require_nothing_runs(home)
        folder = Path(home.path) / FOLDER / f"{ids.short(former.id) if former else 'unknown'}-{now}"
        try:
            _move(Path(home.path), folder)
        except OSError as error:
            raise LocalFault(
                f"the former identity's files cannot be moved to {folder}",
                code=Code.STORE_FAULT,
                why=error.strerror or "",
                hint="make room or set the folder's mode, then again: relay identity new",
            ) from None
        return former, found(home, name, now), folder


def _former(home: HomeFiles) -> Former | None:
    key, space = Path(home.identity_key), Path(home.workspace_key)
    if not key.exists():
        if not space.exists():
            raise LocalFault("nothing is set up here", code=Code.NOT_SET_UP, why=f"{key} is missing", hint="relay init")
        return None
    identity = load_identity(key)
    roster = present_roster(home)
    if roster is not None and load_workspace(space).root == identity.id and len(roster.members) > 1:
        raise Misuse(
            "this machine cannot leave its identity behind",
            why=f"it created the workspace of {len(roster.members)} members, whose roster hangs on its signature",
            hint="relay --home DIR init, to begin another workspace; then invite them there",
        )
    if roster is None:
        return Former(identity.id)
    others = (roster.members.get(each) for each in roster.signers if each != identity.id)
    return Former(identity.id, roster.signs(identity.id), tuple(each.name for each in others if each is not None))


@contextlib.contextmanager
def _alone(home: HomeFiles) -> Iterator[None]:
    descriptor = os.open(Path(home.path) / "broker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LocalFault(
            "a broker runs on this home", code=Code.ALREADY_RUNNING, why="it holds the keys", hint="relay down"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _require_nothing_runs(home: HomeFiles) -> None:
    for lock in Path(home.path).glob("attempts/*/lock"):
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misuse(
                    "tasks still run here",
                    why="they belong to the former identity, and nobody would hear how they end",
                    hint="relay up --detach; relay ps; relay stop ID; relay down",
                ) from None


def _move(home: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)
    os.chmod(folder.parent, 0o700)
    between = [*(home / name for name in _MOVED), *sorted(home.glob(_STORE))]
    for path in [home / _FIRST, *between, home / _LAST]:
        if path.exists():
            path.rename(folder / path.name)

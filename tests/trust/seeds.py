"""Fixed identities and one workspace, so that every run has the same bytes."""

from __future__ import annotations

from relay.core.roster import Roster, fold
from relay.core.statements import Member, Statement
from relay.trust.identity import Identity
from relay.trust.roster import admit, member_of
from relay.trust.workspace import Workspace

NOW = 1_800_000_000_000
ROOT = Identity.create(b"\x01" * 32, b"\x02" * 32)
LAPTOP = Identity.create(b"\x03" * 32, b"\x04" * 32)
VPS = Identity.create(b"\x05" * 32, b"\x06" * 32)
STRANGER = Identity.create(b"\x07" * 32, b"\x08" * 32)
HOME = Workspace.create(b"\x09" * 32, "home", ROOT, b"\x0a" * 16)
OTHER = Workspace.create(b"\x0b" * 32, "other", STRANGER, b"\x0c" * 16)


def member(identity: Identity, name: str = "machine") -> Member:
    """An identity as a member."""
    return member_of(identity, name, NOW)


def folded(*statements: Statement) -> Roster:
    """The roster of the workspace HOME."""
    return fold(ROOT.public, statements)


def founded() -> list[Statement]:
    """ROOT's own admission, then LAPTOP's."""
    first = admit(ROOT, HOME, folded(), member(ROOT, "root"), NOW)
    return [first, admit(ROOT, HOME, folded(first), member(LAPTOP, "laptop"), NOW + 1)]

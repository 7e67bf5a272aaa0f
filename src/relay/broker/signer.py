"""Who signs the roster: the broker that created the workspace. Others are told where to do it."""

from __future__ import annotations

from relay.broker.members import Members
from relay.core.errors import Code, Refused
from relay.trust.identity import Identity
from relay.trust.workspace import Workspace


def require_signer(identity: Identity, workspace: Workspace, members: Members, what: str, command: str) -> None:
    """Go on only where this broker signs the roster.

    Args:
        identity: this broker.
        workspace: whose roster it is.
        members: the signer's name.
        what: it may not do, as in "this broker may not ...".
        command: what to type on the signer instead.

    Raises:
        Refused: `not_a_signer`.
    """
    if identity.id != workspace.root:
        raise Refused(
            f"this broker may not {what}",
            code=Code.NOT_A_SIGNER,
            why="only a signer of the roster may: the broker that created the workspace",
            hint=f"on {members.name(workspace.root)}: {command}",
        )

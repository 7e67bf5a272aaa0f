"""Who signs the roster: the workspace's creator, and whom signers promoted. Others are told where to go."""

from __future__ import annotations

from relay.broker.members import Members
from relay.core.errors import Code, Refused

NAMED = 3  # signers in a hint; of more, the first


def require_signer(members: Members, what: str, command: str) -> None:
    """Go on only where this broker signs the roster.

    Args:
        members: the roster in use, this broker's own place in it.
        what: it may not do, as in "this broker may not ...".
        command: what to type on a signer instead.

    Raises:
        Refused: `not_a_signer`.
    """
    roster, own = members.roster, members.own
    if roster.signs(own):
        return
    ended = next((seat.ended_by for seat in reversed(roster.seats) if seat.signer == own and seat.ended_by), None)
    why = "only a signer of the roster may: the broker that created the workspace, or one that a signer has promoted"
    if ended is not None:
        why = f"{'this broker itself' if ended == own else members.name(ended)} ended its right to sign the roster"
    names = " or ".join(members.name(each) for each in roster.signers[:NAMED])
    raise Refused(f"this broker may not {what}", code=Code.NOT_A_SIGNER, why=why, hint=f"on {names}: {command}")


def require_root(members: Members, what: str, command: str) -> None:
    """Go on only on the broker that created the workspace: what hangs on its key alone.

    Args:
        members: as in `require_signer`.
        what: it may not do.
        command: what to type there instead.

    Raises:
        Refused: `not_a_signer`.
    """
    root = members.roster.root
    if members.own != root:
        raise Refused(
            f"this broker may not {what}",
            code=Code.NOT_A_SIGNER,
            why="only the broker that created the workspace may, also where others sign the roster",
            hint=f"on {members.name(root)}: {command}",
        )

"""Invitations: each is used once, by one joiner, who may fetch its answer again."""

from __future__ import annotations

from relay.core.ids import BrokerId
from relay.core.invites import InviteRow
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, mapper


@frozen
class Invite:
    """One invitation.

    Attributes:
        id: what the joiner names it by; no secret.
        verifier: what its secret is checked against; not the secret.
        role: what the joiner becomes.
        expires, created: milliseconds.
        used_by: the joiner's key or id, once used; empty where it was burnt by a wrong guess.
        answer: what the joiner was answered.
    """

    id: str
    verifier: bytes
    role: str
    expires: int
    used_by: str | None = None
    answer: bytes | None = None
    created: int = 0


_SELECT = f"SELECT {columns(Invite)} FROM invites"
_row = mapper(Invite)

ALL: Query[Invite] = Query(f"{_SELECT} ORDER BY created, id", _row)
BY_ID: Query[Invite] = Query(f"{_SELECT} WHERE id = :id", _row)


def as_row(kept: Invite, called: bytes, verifier: bytes) -> InviteRow:
    """An invitation as it is judged.

    Args:
        called: the id that requests name it by, 16 bytes.
        verifier: the key of their proof.
    """
    used_by = None if kept.used_by is None else BrokerId(kept.used_by)
    return InviteRow(called, verifier, kept.expires, used_by, kept.answer)


def insert(tx: Tx, invite: Invite) -> None:
    """Keep a new invitation."""
    values = (
        invite.id,
        invite.verifier,
        invite.role,
        invite.expires,
        invite.used_by,
        invite.answer,
        invite.created,
    )
    tx.execute("INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def consume(tx: Tx, invite: str, joiner: str, answer: bytes, now: int) -> bool:
    """Use an invitation up; False where it is unknown, expired or used, by this joiner too.

    Args:
        joiner: the joiner's key or id, to which the answer is bound.
        answer: what is sent, and sent again to the same joiner (`Invite.answer`).
        now: milliseconds.
    """
    sql = "UPDATE invites SET used_by = ?, answer = ? WHERE id = ? AND used_by IS NULL AND expires > ?"
    return tx.execute(sql, (joiner, answer, invite, now)).rowcount > 0


def burn(tx: Tx, invite: str) -> bool:
    """Make an unused invitation useless (a wrong guess, or its owner took it back); whether it was unused."""
    return tx.execute("UPDATE invites SET used_by = '' WHERE id = ? AND used_by IS NULL", (invite,)).rowcount > 0


def purge(tx: Tx, before: int) -> int:
    """Delete what expired before this moment (milliseconds); how many."""
    return tx.execute("DELETE FROM invites WHERE expires < ?", (before,)).rowcount

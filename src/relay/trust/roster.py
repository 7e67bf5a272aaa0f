"""Roster statements signed and verified. The rules of the fold are in `relay.core.roster`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from relay.core.errors import Code, LocalFault, Misuse, PeerFault, Refused
from relay.core.ids import BrokerId
from relay.core.roster import (
    MAX_MEMBERS,
    MAX_STATEMENT,
    MAX_STATEMENTS,
    Member,
    Roster,
    Statement,
    StatementKind,
    fold,
    pack_statement,
    unpack_statement,
)
from relay.trust.identity import Identity, check_public_key, check_sealing_key
from relay.trust.signing import check_block, signed_block, split_block
from relay.trust.workspace import Workspace

_DOMAIN = b"relay-statement/1"


def verify_statement(workspace: Workspace, raw: bytes) -> Statement:
    """One statement of this workspace's root, its bytes kept as received.

    Raises:
        PeerFault: not of the form, of another workspace or signer, with a bad signature, or admitting a
            key that must not be admitted.
    """
    content, signature = split_block(raw, MAX_STATEMENT)
    statement = unpack_statement(content, raw)
    if statement.workspace != workspace.id:
        raise PeerFault("a roster statement was refused", code=Code.OTHER_WORKSPACE, why="it is of another workspace")
    if statement.signer != workspace.root:
        raise PeerFault("a roster statement was refused", code=Code.BAD_SIGNATURE, why="only the creator may sign one")
    check_block(workspace.root_public, _DOMAIN, content, signature)
    if statement.member is not None:
        check_public_key(statement.member.public)
        check_sealing_key(statement.member.sealing_public)
    return statement


def read_roster(workspace: Workspace, raws: Iterable[bytes]) -> Roster:
    """The roster in these statements, each verified (about 60 microseconds each).

    Raises:
        PeerFault: one of them is not the root's word on this workspace.
    """
    return fold(workspace.root_public, [verify_statement(workspace, raw) for raw in raws])


def _require_signer(identity: Identity, workspace: Workspace, roster: Roster) -> None:
    if identity.id != workspace.root:
        raise Refused(
            "this broker may not change the roster",
            code=Code.NOT_A_SIGNER,
            why="only the broker that created the workspace invites, admits and evicts",
            hint="run the command on the machine that created the workspace; relay status names the workspace",
        )
    if roster.forked or roster.seq >= MAX_STATEMENTS:
        why = "two statements follow the same one: this machine was cloned, or its home restored from a backup"
        raise LocalFault(
            "the roster cannot be extended", code=Code.ROSTER_CLOSED, why=why, hint="relay brokers"
        )


def _signed(identity: Identity, statement: Statement) -> Statement:
    content = pack_statement(statement)
    return unpack_statement(content, signed_block(identity, _DOMAIN, content))


def _next(identity: Identity, workspace: Workspace, roster: Roster, subject: BrokerId, now: int) -> Statement:
    return Statement(
        kind=StatementKind.EVICT,
        workspace=workspace.id,
        signer=identity.id,
        seq=roster.seq + 1,
        previous=roster.tip,
        at=now,
        subject=subject,
    )


def member_of(identity: Identity, name: str, now: int) -> Member:
    """This broker as a member, for the creator's own admission."""
    return Member(identity.id, identity.public, identity.sealing.public, name, now)


def admit(identity: Identity, workspace: Workspace, roster: Roster, member: Member, now: int) -> Statement:
    """The statement that admits a member; it cites the evict where there was one.

    Args:
        identity: the root.
        workspace: this workspace.
        roster: its newest fold; on an empty one the first admission is the creator's own.
        member: who; its `admitted_at` is replaced by `now`.
        now: milliseconds since 1970.

    Returns:
        The statement; `.raw` is to be stored and sent as it is.

    Raises:
        Refused: this broker is not the root, or the roster is full.
        LocalFault: the chain is forked.
        PeerFault: a key of the member's must not be admitted.
    """
    _require_signer(identity, workspace, roster)
    check_public_key(member.public)
    check_sealing_key(member.sealing_public)
    if member.id not in roster.members and len(roster.members) >= MAX_MEMBERS:
        raise Refused(
            "the workspace is full",
            code=Code.TOO_MANY,
            why=f"it has {MAX_MEMBERS} members",
            hint="relay brokers shows who could be put out",
        )
    draft = _next(identity, workspace, roster, member.id, now)
    cites = roster.evicted.get(member.id, b"")
    return _signed(
        identity, replace(draft, kind=StatementKind.ADMIT, member=replace(member, admitted_at=now), cites=cites)
    )


def evict(
    identity: Identity, workspace: Workspace, roster: Roster, broker: BrokerId, now: int, reason: str = ""
) -> Statement:
    """The statement that puts a member out.

    Raises:
        Refused: this broker is not the root.
        Misuse: the id is not a member's, or the root's own.
        LocalFault: the chain is forked.
    """
    _require_signer(identity, workspace, roster)
    if broker == workspace.root:
        raise Misuse("the creator cannot be evicted", why="the roster hangs on its signature", hint="relay brokers")
    if broker not in roster.members:
        why = "it is not on the roster"
        raise Misuse("there is no such member", code=Code.UNKNOWN_BROKER, why=why, hint="relay brokers")
    return _signed(identity, replace(_next(identity, workspace, roster, broker, now), reason=reason[:256]))

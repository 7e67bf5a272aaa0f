"""Roster statements signed and verified. The rules of the fold are in `relay.core.roster`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from relay.core.errors import Code, LocalFault, Misuse, PeerFault, Refused
from relay.core.hello import HASH_BYTES
from relay.core.ids import BrokerId
from relay.core.roster import MAX_ABOVE, MAX_MEMBERS, MAX_PROMOTIONS, MAX_SEATS, Roster, fold
from relay.core.statements import (
    MAX_CITED,
    MAX_CUTS,
    MAX_REASON,
    MAX_REASON_BYTES,
    MAX_STATEMENT,
    Cut,
    Member,
    Statement,
    StatementKind,
    pack_statement,
    unpack_statement,
)
from relay.trust.identity import Identity, check_public_key, check_sealing_key
from relay.trust.signing import check_block, signed_block, split_block
from relay.trust.workspace import Workspace

_DOMAIN = b"relay-statement/1"
Keys = Mapping[BrokerId, bytes]
"""The Ed25519 keys of those that a verified statement promotes, by id."""


class UnknownSigner(PeerFault):
    """Nothing that is known here promotes who signed a statement: its key is not known."""


def _unpacked(workspace: Workspace, raw: bytes) -> tuple[Statement, bytes, bytes]:
    content, signature = split_block(raw, MAX_STATEMENT)
    statement = unpack_statement(content, raw)
    if statement.workspace != workspace.id:
        raise PeerFault("a roster statement was refused", code=Code.OTHER_WORKSPACE, why="it is of another workspace")
    return statement, content, signature


def verify_statement(workspace: Workspace, raw: bytes, keys: Keys | None = None) -> Statement:
    """One statement of this workspace, its bytes kept as received. Whether it counts is another question.

    Args:
        workspace: this one.
        raw: as received.
        keys: of signers other than the root.

    Raises:
        UnknownSigner: its signer is neither the root nor one of these.
        PeerFault: not of the form, of another workspace, with a bad signature, or admitting a key that must not be
            admitted.
    """
    statement, content, signature = _unpacked(workspace, raw)
    key = workspace.root_public if statement.signer == workspace.root else (keys or {}).get(statement.signer)
    if key is None:
        why = "nothing promotes who signed it"
        raise UnknownSigner("a roster statement was refused", code=Code.BAD_SIGNATURE, why=why)
    check_block(key, _DOMAIN, content, signature)
    if statement.member is not None:
        check_public_key(statement.member.public)
        check_sealing_key(statement.member.sealing_public)
    return statement


def keys_of(statements: Iterable[Statement]) -> dict[BrokerId, bytes]:
    """The keys of those that these verified statements promote."""
    promoted = StatementKind.PROMOTE
    return {each.subject: each.member.public for each in statements if each.kind is promoted and each.member}


def verify_statements(
    workspace: Workspace,
    raws: Iterable[bytes],
    keys: Keys | None = None,
    on_fault: Callable[[PeerFault], None] | None = None,
) -> tuple[list[Statement], list[bytes]]:
    """Statements in any order, about 0.3 ms each; and those whose signer is not known.

    Args:
        workspace: this one.
        raws: as received.
        keys: of signers other than the root, beside those that these statements promote.
        on_fault: told of each that is refused, where that one is to be passed over.

    Raises:
        PeerFault: one of them is refused, and `on_fault` is None.
    """
    known = dict(keys or {})
    verified: list[Statement] = []
    waiting: dict[BrokerId, list[bytes]] = {}
    pending = list(raws)
    while pending:
        raw = pending.pop()
        try:
            statement = verify_statement(workspace, raw, known)
        except UnknownSigner:
            waiting.setdefault(_unpacked(workspace, raw)[0].signer, []).append(raw)
            continue
        except PeerFault as fault:
            if on_fault is None:
                raise
            on_fault(fault)
            continue
        verified.append(statement)
        for broker, key in keys_of([statement]).items():
            known[broker] = key
            pending += waiting.pop(broker, [])
    return verified, [raw for raws_of in waiting.values() for raw in raws_of]


def read_roster(workspace: Workspace, raws: Iterable[bytes]) -> Roster:
    """The roster in these statements; those of signers that nothing promotes are passed over.

    Raises:
        PeerFault: one of them is refused.
    """
    return fold(workspace.root_public, verify_statements(workspace, raws)[0])


def _seat(identity: Identity, roster: Roster) -> int:
    """The place in the roster's seats under which this broker signs next."""
    seats = roster.seats_of(identity.id)
    if not seats:
        raise Refused(
            "this broker may not change the roster",
            code=Code.NOT_A_SIGNER,
            why="only a signer does: the broker that created the workspace, and whom a signer has promoted",
            hint="relay brokers --roster   shows who signs; there, the same command",
        )
    for at in seats:
        if not roster.seats[at].forked and roster.seats[at].seq < roster.seats[at].most:
            return at
    why = "two statements follow the same one: this machine was cloned, or its home restored from a backup"
    if not roster.seats[seats[0]].forked:
        why = f"a signer signs at most {roster.seats[seats[0]].most} statements"
    hint = "relay brokers --roster; on a signer above this one: relay broker demote, then relay broker promote"
    raise LocalFault(
        "the roster cannot be extended", code=Code.ROSTER_CLOSED, why=why, hint="relay brokers" if 0 in seats else hint
    )


def _signed(identity: Identity, statement: Statement) -> Statement:
    content = pack_statement(statement)
    return unpack_statement(content, signed_block(identity, _DOMAIN, content))


def _next(
    identity: Identity, workspace: Workspace, roster: Roster, kind: StatementKind, subject: BrokerId, now: int
) -> Statement:
    seat = roster.seats[_seat(identity, roster)]
    return Statement(kind, workspace.id, identity.id, seat.seq + 1, seat.tip, now, subject)


def member_of(identity: Identity, name: str, now: int) -> Member:
    """This broker as a member, for the creator's own admission."""
    return Member(identity.id, identity.public, identity.sealing.public, name, now)


def _cites(roster: Roster, seat: int, undone: list[bytes], subject: BrokerId) -> bytes:
    """What an admission has to cite: what it undoes, and the record that it replaces, where another signed that."""
    if len(undone) > MAX_CITED:
        raise Refused(
            "the roster has no room for this",
            code=Code.TOO_MANY,
            why=f"it would undo what {len(undone)} signers have signed; one statement undoes {MAX_CITED}",
            hint="on that machine: relay identity new, and invite it under that",
        )
    by, record = roster.records.get(subject, (seat, b""))
    replaced = [record] if by != seat and len(undone) < MAX_CITED and record not in undone else []
    return b"".join([*undone, *replaced])


def admit(identity: Identity, workspace: Workspace, roster: Roster, member: Member, now: int) -> Statement:
    """The statement that admits a member; it cites the evicts where there were any.

    Args:
        identity: a signer.
        workspace: this workspace.
        roster: its newest fold; on an empty one the first admission is the creator's own.
        member: who; its `admitted_at` is replaced by `now`.
        now: milliseconds since 1970.

    Returns:
        The statement; `.raw` is to be stored and sent as it is.

    Raises:
        Refused: this broker is no signer, or the roster is full.
        LocalFault: the chain is forked, or full.
        PeerFault: a key of the member's must not be admitted.
    """
    draft = _next(identity, workspace, roster, StatementKind.ADMIT, member.id, now)
    check_public_key(member.public)
    check_sealing_key(member.sealing_public)
    if member.id not in roster.members and len(roster.members) >= MAX_MEMBERS:
        raise Refused(
            "the workspace is full",
            code=Code.TOO_MANY,
            why=f"it has {MAX_MEMBERS} members",
            hint="relay brokers   shows who could be put out",
        )
    evicts = roster.evicted.get(member.id, b"")
    undone = [evicts[at : at + HASH_BYTES] for at in range(0, len(evicts), HASH_BYTES)]
    cites = _cites(roster, _seat(identity, roster), undone, member.id)
    return _signed(identity, replace(draft, member=replace(member, admitted_at=now), cites=cites))


def _require_member(roster: Roster, broker: BrokerId) -> Member:
    if broker not in roster.members:
        why = "it is not on the roster"
        raise Misuse("there is no such member", code=Code.UNKNOWN_BROKER, why=why, hint="relay brokers")
    return roster.members[broker]


def promote(identity: Identity, workspace: Workspace, roster: Roster, broker: BrokerId, now: int) -> Statement:
    """The statement that makes a member a signer; it cites the rulings on it that this signer is bound by.

    Raises:
        Refused: this broker is no signer, or there are too many.
        Misuse: the id is not a member's, or one that signs already.
        LocalFault: the chain is forked, or full.
    """
    draft = _next(identity, workspace, roster, StatementKind.PROMOTE, broker, now)
    member = _require_member(roster, broker)
    if roster.signs(broker):
        raise Misuse("it signs the roster already", why="it was promoted", hint="relay brokers --roster")
    at = _seat(identity, roster)
    above = (*roster.seats[at].above, at)
    mine = sum(1 for seat in roster.seats if seat.above == above)
    if len(roster.seats) > MAX_SEATS or len(above) > MAX_ABOVE or (at and mine >= MAX_PROMOTIONS):
        raise Refused(
            "nobody more can be promoted here",
            code=Code.TOO_MANY,
            why=f"a workspace sees at most {MAX_SEATS} promotions, {MAX_PROMOTIONS} of them by one signer that was"
            f" promoted itself, and {MAX_ABOVE} signers above one another",
            hint="relay broker promote NAME, on the machine that created the workspace",
        )
    rulings = roster.rulings.get(broker, {})
    cites = _cites(roster, at, [rulings[each] for each in above if each in rulings], broker)
    return _signed(identity, replace(draft, member=replace(member, admitted_at=now), cites=cites))


def require_rules(identity: Identity, roster: Roster, broker: BrokerId) -> None:
    """Go on only where every right to sign that the other has comes from this signer, or is its own.

    Raises:
        Refused: it signs by the word of another.
    """
    own = roster.seats_of(identity.id)
    for seat in roster.seats_of(broker):
        if not any(roster.is_below(seat, each) for each in own):
            raise Refused(
                "this broker may not rule on that one",
                code=Code.NOT_A_SIGNER,
                why="it signs the roster, and only itself or a signer above it may put it out or demote it",
                hint="relay brokers --roster   shows who promoted whom; the workspace's creator always may",
            )


def _ruling(
    identity: Identity, workspace: Workspace, roster: Roster, kind: StatementKind, broker: BrokerId, now: int, why: str
) -> Statement:
    draft = _next(identity, workspace, roster, kind, broker, now)
    require_rules(identity, roster, broker)
    own, cuts = _seat(identity, roster), list[Cut]()
    for at in roster.seats_of(broker):
        if own in roster.seats[at].above:
            seat = roster.seats[at]
            cuts.append(Cut(seat.promotion, seat.seq, seat.tip))
    reason = why[:MAX_REASON].encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return _signed(identity, replace(draft, reason=reason, cuts=tuple(cuts[:MAX_CUTS])))


def demote(
    identity: Identity, workspace: Workspace, roster: Roster, broker: BrokerId, now: int, reason: str = ""
) -> Statement:
    """The statement that ends a member's right to sign; what it signed so far, as this broker knows it, stays.

    Raises:
        Refused: this broker is no signer, or not one above that.
        Misuse: the id is not a signer's, or the root's own.
        LocalFault: the chain is forked, or full.
    """
    _next(identity, workspace, roster, StatementKind.DEMOTE, broker, now)
    if broker == workspace.root:
        raise Misuse("the creator cannot be demoted", why="the roster hangs on its signature", hint="relay brokers")
    if not roster.signs(broker):
        raise Misuse("it does not sign the roster", why="nobody has promoted it", hint="relay brokers --roster")
    return _ruling(identity, workspace, roster, StatementKind.DEMOTE, broker, now, reason)


def evict(
    identity: Identity, workspace: Workspace, roster: Roster, broker: BrokerId, now: int, reason: str = ""
) -> Statement:
    """The statement that puts a member out; one that signs has signed for the last time.

    Raises:
        Refused: this broker is no signer, or not one above that.
        Misuse: the id is not a member's, or the root's own.
        LocalFault: the chain is forked, or full.
    """
    _next(identity, workspace, roster, StatementKind.EVICT, broker, now)
    if broker == workspace.root:
        raise Misuse("the creator cannot be evicted", why="the roster hangs on its signature", hint="relay brokers")
    if broker not in roster.evicted:  # whom another signer has put out may be put out by this one as well
        _require_member(roster, broker)
    return _ruling(identity, workspace, roster, StatementKind.EVICT, broker, now, reason)

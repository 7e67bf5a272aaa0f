"""Pairing messages made, signed, sealed and checked. The flow is drawn in `relay.core.pairing`.

On the wire each message is one binary frame: the request and the answer are signed blocks, a refusal is
`["refused", word]` (inside TLS, from the pinned key).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nacl import bindings
from nacl.exceptions import CryptoError

from relay.core import ids
from relay.core.envelope import SEAL_OVERHEAD
from relay.core.epochs import KEY_BYTES
from relay.core.errors import Code, PeerFault, Refused
from relay.core.ids import BrokerId
from relay.core.pairing import (
    MAX_ANSWER,
    MAX_REQUEST,
    Answer,
    InviteLink,
    JoinRequest,
    PeerRecord,
    pack_answer,
    pack_request,
    proof_of,
    refusal,
    refusal_word,
    unpack_answer,
    unpack_request,
)
from relay.core.roster import Roster, fold
from relay.core.statements import Member, Statement
from relay.core.values import frozen
from relay.core.wire import pack, unpack
from relay.trust.epochs import verify_rotation
from relay.trust.identity import Identity, check_public_key, check_sealing_key
from relay.trust.roster import verify_statements
from relay.trust.signing import BLOCK_OVERHEAD, check_block, signed_block, split_block
from relay.trust.workspace import Workspace, workspace_of

_REQUEST_DOMAIN = b"relay-join-request/1"
_ANSWER_DOMAIN = b"relay-join-answer/1"
_REFUSED = "refused"


@frozen
class Welcome:
    """What a joiner has when the answer is checked.

    Attributes:
        workspace: with its key.
        statements: the roster's statements, verified, raw bytes kept.
        roster: their fold; the joiner and the inviter are on it.
        records: where members were last known to listen.
    """

    workspace: Workspace
    statements: tuple[Statement, ...]
    roster: Roster
    records: tuple[PeerRecord, ...]


@frozen
class Invited:
    """What a joiner holds of its invite, whichever way it came to it.

    Attributes:
        id: what the invite is looked up by, 16 bytes.
        verifier: the HMAC key of the proof, 32 bytes.
        inviter: who made it.
    """

    id: bytes
    verifier: bytes
    inviter: BrokerId

    def __repr__(self) -> str:
        return f"Invited(id={self.id.hex()}, inviter={self.inviter!r})"


def make_request(
    identity: Identity, link: InviteLink | Invited, name: str, addresses: Sequence[str], nonce: bytes
) -> tuple[JoinRequest, bytes]:
    """The joiner's request, as a value and as signed bytes.

    Args:
        identity: the joiner.
        link: the invite.
        name: the joiner's label.
        addresses: where it listens, `host:port`, at most 16.
        nonce: 16 random bytes.
    """
    draft = JoinRequest(
        invite=link.id,
        inviter=link.inviter,
        nonce=nonce,
        public=identity.public,
        sealing_public=identity.sealing.public,
        name=name,
        addresses=tuple(addresses),
        proof=bytes(32),
    )
    request = replace(draft, proof=proof_of(link.verifier, draft))
    return request, signed_block(identity, _REQUEST_DOMAIN, pack_request(request))


def open_request(raw: bytes) -> JoinRequest:
    """A request whose sender holds the key it names; the proof is judged by `judge_invite`.

    Raises:
        PeerFault: not of the form, a bad signature, or a key that must not be admitted.
    """
    content, signature = split_block(raw, MAX_REQUEST)
    request = unpack_request(content)
    check_public_key(request.public)
    check_sealing_key(request.sealing_public)
    check_block(request.public, _REQUEST_DOMAIN, content, signature)
    return request


def member_from(request: JoinRequest, now: int) -> Member:
    """The member an admitted request makes."""
    return Member(request.joiner, request.public, request.sealing_public, request.name, now)


def make_answer(
    identity: Identity,
    workspace: Workspace,
    request: JoinRequest,
    statements: Sequence[bytes],
    records: Sequence[PeerRecord],
) -> bytes:
    """The inviter's signed answer; to be kept with the consumed invite, in the transaction of the admission.

    Args:
        identity: the inviter.
        workspace: its key goes out sealed to the joiner.
        request: the judged request.
        statements: the whole roster as raw bytes, the joiner's admission included.
        records: the members' addresses.
    """
    bound = workspace.key + ids.to_digest(request.joiner)
    sealed = bindings.crypto_box_seal(bound, request.sealing_public)
    facts = workspace.facts()
    answer = Answer(request.invite, request.joiner, facts, sealed, tuple(statements), tuple(records))
    return signed_block(identity, _ANSWER_DOMAIN, pack_answer(answer))


def make_refusal(error: Refused) -> bytes:
    """The inviter's no, as it crosses the wire: one fixed word, nothing of its own text."""
    return pack([_REFUSED, refusal_word(error)])


def raise_refusal(raw: bytes) -> None:
    """Raise the inviter's no, where these bytes are one.

    Raises:
        Refused: in words of ours.
    """
    if len(raw) <= BLOCK_OVERHEAD:
        parts = unpack(raw, BLOCK_OVERHEAD)
        if type(parts) is list and len(parts) == 2 and parts[0] == _REFUSED and type(parts[1]) is str:
            raise refusal(parts[1])


def _fault(why: str, code: Code = Code.BAD_ENVELOPE) -> PeerFault:
    hint = "on the machine that made the invite: relay invite makes another one"
    return PeerFault("the inviter's answer was refused", code=code, why=why, hint=hint)


def _open_key(identity: Identity, sealed: bytes) -> bytes:
    key = identity.sealing
    if len(sealed) != SEAL_OVERHEAD + KEY_BYTES + 32:
        raise _fault("the sealed workspace key has another length")
    try:
        opened = bindings.crypto_box_seal_open(sealed, key.public, key.secret)
    except CryptoError:
        raise _fault("the workspace key is sealed to somebody else") from None
    if opened[KEY_BYTES:] != ids.to_digest(identity.id):
        raise _fault("the workspace key is meant for somebody else")
    return opened[:KEY_BYTES]


def _check_membership(identity: Identity, inviter: bytes, roster: Roster) -> None:
    own = roster.members.get(identity.id)
    if own is None or (own.public, own.sealing_public) != (identity.public, identity.sealing.public):
        raise _fault("this machine is not on the roster it came with", Code.NOT_A_MEMBER)
    if ids.broker_id(inviter) not in roster.members:
        raise _fault("the inviter is not on the roster", Code.NOT_A_MEMBER)


def open_answer(identity: Identity, link: InviteLink | Invited, raw: bytes, inviter: bytes) -> Welcome:
    """What the answer brings, everything in it checked.

    Args:
        identity: the joiner.
        link: the invite.
        raw: the answer as received.
        inviter: the raw Ed25519 key of the TLS leaf, from `require_peer(tls, link.inviter)`.

    Raises:
        Refused: `invite_refused`, in words of ours.
        PeerFault: not of the form, not signed by the pinned key, for somebody else, or inconsistent.
    """
    raise_refusal(raw)
    if ids.broker_id(inviter) != link.inviter:
        raise _fault("another broker answered than the link names", Code.BAD_SIGNATURE)
    content, signature = split_block(raw, MAX_ANSWER)
    check_block(check_public_key(inviter), _ANSWER_DOMAIN, content, signature)
    answer = unpack_answer(content)
    if answer.invite != link.id or answer.joiner != identity.id:
        raise _fault("it answers somebody else")
    workspace = workspace_of(answer.workspace, _open_key(identity, answer.sealed_key))
    if workspace.rotation:
        verify_rotation(workspace, workspace.rotation)
    statements = tuple(verify_statements(workspace, answer.statements)[0])
    roster = fold(workspace.root_public, statements)
    _check_membership(identity, inviter, roster)
    return Welcome(workspace, statements, roster, answer.records)

"""First pairing by link: the values, their bytes and the inviter's rule. docs/protocol.md gives the bytes.

    inviter (root)                                        joiner
    `relay invite --link`
      InviteLink: id pin, addresses, secret ── pasted by a person ──►  parse_link
      InviteRow: id, verifier (HKDF of the secret)
                                   ◄── TLS 1.3, ALPN relay-pair/1, no client certificate ──
                                        require_peer: the leaf key's fingerprint is the link's pin
                                   ◄── JoinRequest: keys, name, addresses, HMAC proof, signed by the joiner
      judge_invite(row, request)
        FirstUse: admit + consume the invite + keep the answer, in one transaction
        FetchAgain: the same joiner's key gets the kept answer, until expiry
        Refused: anybody else
      Welcome, signed by the inviter ──────────────────►  open_answer: pin, signature, workspace id,
        workspace key sealed to the joiner's X25519 key      roster with both on it; then saved

The secret never crosses the wire and is not kept by the inviter; the workspace key is not in the link. The proof
is bound to the joiner's keys, so a copied request gets nothing but an answer only the joiner can open.
Crypto beyond HMAC is in `relay.trust.pairing`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault, Refused
from relay.core.hello import NONCE_BYTES, are_addresses, is_bytes
from relay.core.ids import BrokerId
from relay.core.invites import INVITE_ID_BYTES, InviteLink, InviteRow, format_link, parse_link, row_of
from relay.core.roster import MAX_MEMBERS
from relay.core.statements import MAX_STATEMENT, MAX_STATEMENTS
from relay.core.values import frozen
from relay.core.wire import pack, unpack

__all__ = [
    "Answer",
    "FetchAgain",
    "FirstUse",
    "InviteLink",
    "InviteRow",
    "JoinRequest",
    "PeerRecord",
    "format_link",
    "is_proved",
    "judge_invite",
    "pack_answer",
    "pack_request",
    "parse_link",
    "proof_of",
    "refusal",
    "refusal_word",
    "row_of",
    "unpack_answer",
    "unpack_request",
]

MAX_REQUEST = 8 * 1024
MAX_ANSWER = 8 * 1024 * 1024
MAX_SEALED_KEY = 512
SET_MS = 3_600_000
MOST_LIFE_MS = 7 * 86_400_000
"""An invite that lives longer, and by more than a clock is set by now and then, was made by a clock that was ahead."""
_PROOF_DOMAIN = b"relay-join-proof/1"


@frozen
class JoinRequest:
    """What the joiner sends.

    Attributes:
        invite: the invite's id, 16 bytes.
        inviter: whom it means to talk to.
        nonce: 16 random bytes.
        public: its raw Ed25519 key.
        sealing_public: its X25519 key.
        name: its label.
        addresses: where it listens.
        proof: HMAC-SHA-256 under the invite's verifier; see `proof_of`.
    """

    invite: bytes
    inviter: BrokerId
    nonce: bytes
    public: bytes
    sealing_public: bytes
    name: str
    addresses: tuple[str, ...]
    proof: bytes

    @property
    def joiner(self) -> BrokerId:
        """The joiner's id."""
        return ids.broker_id(self.public)


@frozen
class PeerRecord:
    """Where a member was last known to listen; a hint, never a right."""

    broker: BrokerId
    addresses: tuple[str, ...]


@frozen
class Answer:
    """What the inviter signs for one joiner.

    Attributes:
        invite, joiner: what it answers, and for whom.
        workspace: `{id, name, epoch, root_public, nonce}`, checked by `relay.trust.workspace`.
        sealed_key: the workspace key in a SealedBox to the joiner.
        statements: the whole roster, as received.
        records: the members' addresses.
    """

    invite: bytes
    joiner: BrokerId
    workspace: dict[str, Any]
    sealed_key: bytes
    statements: tuple[bytes, ...]
    records: tuple[PeerRecord, ...]


@frozen
class FirstUse:
    """The invite is open and the proof is right: admit the joiner and consume it."""


@frozen
class FetchAgain:
    """The same joiner asks again: send this."""

    answer: bytes


def proof_of(verifier: bytes, request: JoinRequest) -> bytes:
    """HMAC-SHA-256 (32 bytes) that its maker holds the secret, bound to both identities and the nonce.

    Args:
        verifier: `InviteLink.verifier`.
        request: its `proof` is not looked at.
    """
    parts = (request.invite, ids.to_digest(request.inviter), request.public, request.sealing_public, request.nonce)
    return hmac.digest(verifier, authenticated(_PROOF_DOMAIN, *parts), "sha256")


def _refused(message: str, why: str) -> Refused:
    hint = "make a new one there: relay invite, or relay invite --link"
    return Refused(message, code=Code.INVITE_REFUSED, why=why, hint=hint)


REFUSALS: dict[str, tuple[str, str]] = {
    "unknown": ("the invite was refused", "it is not known there, or was made for another broker"),
    "expired": ("the invite has expired", "an invite is good for a limited time"),
    "used": ("the invite was used up", "another machine has joined with it, or a wrong code was tried"),
    "rate": ("codes are not taken there for now", "too many wrong ones were tried within an hour"),
}


def refusal(word: str) -> Refused:
    """The refusal for a word of `REFUSALS`; any other word reads as `unknown`."""
    return _refused(*REFUSALS.get(word, REFUSALS["unknown"]))


def refusal_word(error: Refused) -> str:
    """The word that crosses the wire for a refusal of `judge_invite`."""
    return next((word for word, (message, _) in REFUSALS.items() if message == error.message), "unknown")


def is_proved(row: InviteRow, request: JoinRequest) -> bool:
    """Whether the request is about this invite, and its maker holds the secret."""
    return request.invite == row.id and hmac.compare_digest(proof_of(row.verifier, request), request.proof)


def judge_invite(row: InviteRow | None, request: JoinRequest, inviter: BrokerId, now: int) -> FirstUse | FetchAgain:
    """What the inviter does with a request whose signature was verified.

    Args:
        row: the invite of that id, or None.
        request: from `relay.trust.pairing.open_request`.
        inviter: this broker.
        now: milliseconds since 1970.

    Raises:
        Refused: `invite_refused`. Who cannot prove the secret is told nothing but that.
    """
    if row is None or request.inviter != inviter or not is_proved(row, request):
        raise refusal("unknown")
    if not now < row.expires <= now + MOST_LIFE_MS + SET_MS:
        raise refusal("expired")
    if row.used_by is None:
        return FirstUse()
    if row.used_by != request.joiner or row.answer is None:
        raise refusal("used")
    return FetchAgain(row.answer)


_REQUEST_CHECKS: dict[str, Callable[[object], bool]] = {
    "invite": is_bytes(INVITE_ID_BYTES),
    "inviter": is_bytes(32),
    "nonce": is_bytes(NONCE_BYTES),
    "public": is_bytes(32),
    "sealing_public": is_bytes(32),
    "name": ids.is_name,
    "addresses": are_addresses,
    "proof": is_bytes(32),
}


def _is_bounded(most: int, check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) is list and len(value) <= most and all(map(check, value))


def _is_record(value: object) -> bool:
    return type(value) is list and len(value) == 2 and is_bytes(32)(value[0]) and are_addresses(value[1])


_ANSWER_CHECKS: dict[str, Callable[[object], bool]] = {
    "invite": is_bytes(INVITE_ID_BYTES),
    "joiner": is_bytes(32),
    "workspace": lambda value: type(value) is dict,
    "sealed_key": lambda value: type(value) is bytes and len(value) <= MAX_SEALED_KEY,
    "statements": _is_bounded(MAX_STATEMENTS, lambda value: type(value) is bytes and len(value) <= 2 * MAX_STATEMENT),
    "records": _is_bounded(MAX_MEMBERS, _is_record),
}


def _checked(data: bytes, limit: int, checks: dict[str, Callable[[object], bool]]) -> dict[str, Any]:
    content = unpack(data, limit)
    if type(content) is not dict:
        raise PeerFault("a pairing message was refused", why="it is no map")
    for name, check in checks.items():
        if not check(content.get(name)):
            raise PeerFault("a pairing message was refused", why=f"its field {name!r} is missing or wrong")
    return {name: content[name] for name in checks}


def pack_request(request: JoinRequest) -> bytes:
    """The bytes the joiner signs."""
    plain = {name: getattr(request, name) for name in _REQUEST_CHECKS}
    return pack(plain | {"inviter": ids.to_digest(request.inviter)})


def unpack_request(data: bytes) -> JoinRequest:
    """The request in these bytes.

    Raises:
        PeerFault: not of the form.
    """
    content = _checked(data, MAX_REQUEST, _REQUEST_CHECKS)
    content |= {"inviter": ids.from_digest(content["inviter"]), "addresses": tuple(content["addresses"])}
    return JoinRequest(**content)


def pack_answer(answer: Answer) -> bytes:
    """The bytes the inviter signs."""
    plain = {name: getattr(answer, name) for name in _ANSWER_CHECKS}
    records = [[ids.to_digest(record.broker), list(record.addresses)] for record in answer.records]
    return pack(plain | {"joiner": ids.to_digest(answer.joiner), "records": records})


def unpack_answer(data: bytes) -> Answer:
    """The answer in these bytes.

    Raises:
        PeerFault: not of the form.
    """
    content = _checked(data, MAX_ANSWER, _ANSWER_CHECKS)
    records = tuple(PeerRecord(ids.from_digest(digest), tuple(places)) for digest, places in content["records"])
    content |= {"joiner": ids.from_digest(content["joiner"]), "statements": tuple(content["statements"])}
    return Answer(**content | {"records": records})

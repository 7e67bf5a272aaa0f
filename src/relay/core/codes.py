"""The code that a person reads out to bring a machine in, `7-crater-lantern-velvet`, and words for comparing.

The number names the invite and is no secret; the three words are the password of a SPAKE2 exchange (RFC 9382), so
that a wrong guess is seen by the inviter and nothing can be tried without it. Both sides then have a key that nobody
else has, and everything that is said from there on is bound to what `transcript` puts into it.
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import re
from typing import Any

from relay.core.code_words import BITS_EACH, WORDS
from relay.core.envelope import authenticated
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.ids import BrokerId, is_name, to_digest
from relay.core.values import frozen
from relay.core.wire import pack, unpack

SECRET_WORDS = 3
ENTROPY_BITS = SECRET_WORDS * BITS_EACH
MAX_NUMBER = 9_999
RANDOM_BYTES = 2 * SECRET_WORDS
COMPARED_WORDS = 4
CODE_ID_BYTES = 16
PURPOSE = "join"
MAX_TEXT = 200
_KNOWN = frozenset(WORDS)


@frozen
class InviteCode:
    """What a person reads out.

    Attributes:
        number: of the invite, from 1.
        words: the secret, `SECRET_WORDS` of them.
    """

    number: int
    words: tuple[str, ...]

    def __repr__(self) -> str:
        return f"InviteCode(number={self.number})"

    @property
    def password(self) -> bytes:
        """The secret as bytes."""
        return "-".join(self.words).encode("ascii")


def make_code(number: int, random: bytes) -> InviteCode:
    """A code.

    Args:
        number: of the invite.
        random: `RANDOM_BYTES` of them; each word is as likely as any other.
    """
    return InviteCode(number, _words(random[:RANDOM_BYTES]))


def _words(data: bytes) -> tuple[str, ...]:
    pairs = (int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    return tuple(WORDS[pair % len(WORDS)] for pair in pairs)


def format_code(code: InviteCode) -> str:
    """The code as it is shown. It is a secret: show it, never log it."""
    return "-".join((str(code.number), *code.words))


def looks_like_code(text: str) -> bool:
    """Whether a person meant a code, not a link."""
    return bool(re.match(r"\s*[0-9]{1,6}[\s._-]+[A-Za-z]", text[:MAX_TEXT]))


def parse_code(text: str) -> InviteCode:
    """The code that a person typed; capitals and other separators do no harm, nor does a word cut to four letters.

    A word that no code has is told here, where it costs nothing: a wrong guess at the other side burns the code.

    Raises:
        Misuse: `bad_invite`.
    """
    parts = [part for part in re.split(r"[\s._-]+", text[:MAX_TEXT].strip().lower()) if part]
    if len(parts) != 1 + SECRET_WORDS or not re.fullmatch(r"[0-9]{1,4}", parts[0]) or int(parts[0]) == 0:
        raise _bad(f"a code is a number and {SECRET_WORDS} words, such as 7-crater-lantern-velvet")
    return InviteCode(int(parts[0]), tuple(map(_meant, parts[1:])))


def _meant(word: str) -> str:
    if word in _KNOWN:
        return word
    begun = [each for each in WORDS if each.startswith(word)] if len(word) >= 4 else []
    if len(begun) == 1:
        return begun[0]
    close = difflib.get_close_matches(word, WORDS, 2)
    guess = f"; did you mean {' or '.join(close)}?" if close else ""
    raise _bad(f"{word[:40]!r} is no word of codes{guess}")


def _bad(why: str) -> Misuse:
    hint = "type it as it stands on the other screen: relay join CODE HOST:PORT"
    return Misuse("that is not an invite code", code=Code.BAD_INVITE, why=why, hint=hint)


# what both sides make of the exchange


@frozen
class Offer:
    """What an invite by code lets its user become.

    Attributes:
        workspace: its id, as bytes.
        name: the workspace's name.
        role: what the joiner becomes.
    """

    workspace: bytes
    name: str
    role: str


@frozen
class Agreed:
    """What both sides have after the exchange, if both knew the code.

    Attributes:
        verifier: the HMAC key of the joiner's proof, 32 bytes.
        confirmation: what the inviter shows it knew the code by, 32 bytes.
    """

    verifier: bytes
    confirmation: bytes

    def __repr__(self) -> str:
        return "Agreed()"


def code_id(number: int, inviter: BrokerId, joiner: bytes) -> bytes:
    """What an invite by code is called in a join request, 16 bytes; no secret.

    Args:
        joiner: its raw Ed25519 key: the answer that is kept for it is its own.
    """
    parts = (number.to_bytes(4, "big"), to_digest(inviter), joiner)
    return hashlib.sha256(authenticated(b"relay-code-id/1", *parts)).digest()[:CODE_ID_BYTES]


def joiner_label(number: int, public: bytes, sealing_public: bytes) -> bytes:
    """The joiner's identity in the exchange: its keys, and which invite it means."""
    return authenticated(b"relay-code-joiner/1", number.to_bytes(4, "big"), public, sealing_public)


def inviter_label(inviter: BrokerId, offer: Offer) -> bytes:
    """The inviter's identity in the exchange: its TLS key's fingerprint, and what it lets the joiner become."""
    parts = (offer.workspace, offer.name.encode(), offer.role.encode(), PURPOSE.encode())
    return authenticated(b"relay-code-inviter/1", to_digest(inviter), *parts)


def agree(key: bytes, joiner: bytes, inviter: bytes) -> Agreed:
    """The keys of what follows.

    Args:
        key: what SPAKE2 gave, 32 bytes.
        joiner, inviter: their labels: who saw other ones has other keys.
    """
    bound = authenticated(b"relay-code/1", joiner, inviter)
    extracted = hmac.digest(bound, key, "sha256")
    first, second = (hmac.digest(extracted, info + b"\x01", "sha256") for info in (b"proof", b"confirm"))
    return Agreed(first, second)


def compared_words(workspace: bytes, inviter: BrokerId, joiner: BrokerId) -> str:
    """Four words (36 bits) that both screens show, for a person to compare: who let whom into which workspace."""
    parts = (workspace, to_digest(inviter), to_digest(joiner))
    digest = hashlib.sha256(authenticated(b"relay-compare/1", *parts)).digest()
    return " ".join(_words(digest[: 2 * COMPARED_WORDS]))


# what crosses the wire before the join request

MAX_MESSAGE = 512
SPAKE_BYTES = 33
OPENING, OFFERED, WELCOME = "code", "offer", "welcome"


@frozen
class Opening:
    """The joiner's first message.

    Attributes:
        number: of the invite it means.
        public, sealing_public: its keys.
        start: its half of the exchange.
    """

    number: int
    public: bytes
    sealing_public: bytes
    start: bytes


def pack_opening(opening: Opening) -> bytes:
    """Its bytes."""
    return pack([OPENING, opening.number, opening.public, opening.sealing_public, opening.start])


def is_opening(raw: bytes) -> bool:
    """Whether these bytes begin an exchange by code, and no join request."""
    return raw[1 : 2 + len(OPENING)] == pack(OPENING) and raw[:1] == b"\x95"


def unpack_opening(raw: bytes) -> Opening:
    """The opening in these bytes.

    Raises:
        PeerFault: not of the form.
    """
    parts = _list(raw, OPENING, 5)
    number, public, sealing_public, start = parts[1:]
    lengths = [len(each) if type(each) is bytes else -1 for each in (public, sealing_public, start)]
    if type(number) is not int or not 0 < number <= MAX_NUMBER or lengths != [32, 32, SPAKE_BYTES]:
        raise PeerFault("a pairing message was refused", why="it has another form")
    return Opening(number, public, sealing_public, start)


def pack_offer(offer: Offer, start: bytes) -> bytes:
    """The inviter's half of the exchange, and what it offers."""
    return pack([OFFERED, offer.workspace, offer.name, offer.role, start])


def unpack_offer(raw: bytes) -> tuple[Offer, bytes]:
    """The offer in these bytes, and the inviter's half of the exchange.

    Raises:
        PeerFault: not of the form.
    """
    workspace, name, role, start = _list(raw, OFFERED, 5)[1:]
    fits = type(workspace) is bytes and len(workspace) <= 64 and is_name(name) and is_name(role)
    if not fits or type(start) is not bytes or len(start) != SPAKE_BYTES:
        raise PeerFault("a pairing message was refused", why="it has another form")
    return Offer(workspace, name, role), start


def pack_welcome(confirmation: bytes, answer: bytes) -> bytes:
    """The answer to who proved the code, with what shows that its sender knows it too."""
    return pack([WELCOME, confirmation, answer])


def unpack_welcome(raw: bytes, limit: int) -> tuple[bytes, bytes]:
    """Confirmation and answer.

    Raises:
        PeerFault: not of the form.
    """
    confirmation, answer = _list(raw, WELCOME, 3, limit + 128)[1:]
    if type(confirmation) is not bytes or len(confirmation) != 32 or type(answer) is not bytes:
        raise PeerFault("a pairing message was refused", why="it has another form")
    return confirmation, answer


def _list(raw: bytes, word: str, length: int, limit: int = MAX_MESSAGE) -> list[Any]:
    parts = unpack(raw, limit)
    if type(parts) is not list or len(parts) != length or parts[0] != word:
        raise PeerFault("a pairing message was refused", why="it has another form")
    return parts

"""The signature under a target's word on a trial, and what makes it fit one question of one asker."""

from __future__ import annotations

from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.trials import Word, word_from_bytes
from relay.trust.identity import Identity
from relay.trust.signing import is_signed

_DOMAIN = b"relay-trial-word/1"


def sign_word(identity: Identity, data: bytes) -> bytes:
    """The target's signature (64 bytes) of a word's bytes."""
    return identity.sign(authenticated(_DOMAIN, data))


def verified_word(
    public: bytes, data: bytes, signature: bytes, *, hash: bytes, asker: BrokerId, target: BrokerId
) -> Word:
    """The word, if it is the target's own on this very question.

    Args:
        public: the target's Ed25519 key.
        data: the word's bytes; `signature`: what came with them.
        hash: of the question that was asked.
        asker: who asked; `target`: who was asked.

    Raises:
        PeerFault: `bad_signature`, or it is a word on something else.
    """
    if not is_signed(public, authenticated(_DOMAIN, data), signature):
        why = "its signature does not fit its target"
        raise PeerFault("the word on a trial was refused", code=Code.BAD_SIGNATURE, why=why)
    word = word_from_bytes(data)
    if (word.hash, word.asker, word.target) != (hash, asker, target):
        raise PeerFault("the word on a trial was refused", why="it is on another question")
    return word

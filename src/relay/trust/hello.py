"""Hellos signed and verified. What a hello says and how it is judged is in `relay.core.hello`."""

from __future__ import annotations

import hmac

from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.hello import MAX_HELLO, Binding, Hello, Incarnation, pack_hello, unpack_hello
from relay.trust.identity import Identity, check_public_key
from relay.trust.signing import check_block, is_signed, signed_block, split_block

_DOMAIN = b"relay-hello/1"
_START_DOMAIN = b"relay-start/1"


def sign_hello(identity: Identity, hello: Hello) -> bytes:
    """The first frame of a link: a signed block."""
    return signed_block(identity, _DOMAIN, pack_hello(hello))


def sign_start(identity: Identity, incarnation: Incarnation) -> bytes:
    """This broker's signature over one of its own starts (64 bytes), by which others can prove that they saw it."""
    return identity.sign(_start(identity.public, incarnation))


def is_start_of(public: bytes, incarnation: Incarnation) -> bool:
    """Whether an incarnation carries its owner's proof.

    Args:
        public: the owner's raw Ed25519 key.
        incarnation: with a proof, or an empty one.
    """
    return is_signed(check_public_key(public), _start(public, incarnation), incarnation.proof)


def _start(public: bytes, incarnation: Incarnation) -> bytes:
    return authenticated(_START_DOMAIN, public, incarnation.counter.to_bytes(8, "big"), incarnation.nonce)


def _fault(why: str) -> PeerFault:
    return PeerFault("a hello was refused", code=Code.BAD_HELLO, why=why)


def verify_hello(raw: bytes, peer: bytes, binding: Binding) -> Hello:
    """The peer's hello, known to be its own and meant for this very connection.

    Args:
        raw: the frame as received.
        peer: the raw Ed25519 key of the peer's TLS leaf, from `peer_public_key`.
        binding: this connection as this side sees it: who dialled whom.

    Raises:
        PeerFault: `bad_hello`: not of the form, not signed by the TLS leaf's key, or bound to another
            connection. Whether the sender is on the roster is the caller's question.
    """
    content, signature = split_block(raw, MAX_HELLO, Code.BAD_HELLO)
    hello = unpack_hello(content)
    if peer not in (binding.dialler, binding.listener) or hello.public != peer:
        raise _fault("it speaks for another broker than the connection's")
    try:
        check_block(check_public_key(peer), _DOMAIN, content, signature)
    except PeerFault as error:
        raise _fault(error.why) from None
    if not hmac.compare_digest(hello.binding, binding.digest):
        raise _fault("it was made for another connection")
    if hello.start is not None and not is_start_of(peer, hello.own_start):
        raise _fault("its start is not signed by it")
    return hello

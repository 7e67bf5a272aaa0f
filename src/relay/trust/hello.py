"""Hellos signed and verified. What a hello says and how it is judged is in `relay.core.hello`."""

from __future__ import annotations

import hmac

from relay.core.errors import Code, PeerFault
from relay.core.hello import MAX_HELLO, Binding, Hello, pack_hello, unpack_hello
from relay.trust.identity import Identity, check_public_key
from relay.trust.signing import check_block, signed_block, split_block

_DOMAIN = b"relay-hello/1"


def sign_hello(identity: Identity, hello: Hello) -> bytes:
    """The first frame of a link: a signed block."""
    return signed_block(identity, _DOMAIN, pack_hello(hello))


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
    return hello

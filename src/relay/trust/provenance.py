"""The signatures under a chain of origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.core.envelope import authenticated
from relay.core.errors import Code, Refused
from relay.core.ids import BrokerId
from relay.core.provenance import Link, SignedLink, first_gap, link_from_bytes
from relay.trust.identity import Identity
from relay.trust.signing import is_signed

_DOMAIN = b"relay-provenance/1"


def sign_link(identity: Identity, link: Link) -> SignedLink:
    """A link with this broker's signature."""
    data = link.to_bytes()
    return SignedLink(data, identity.sign(authenticated(_DOMAIN, data)))


def check_chain(
    signed: Sequence[SignedLink],
    chain: Sequence[BrokerId],
    child: str,
    origin: BrokerId,
    target: BrokerId,
    key_of: Callable[[BrokerId], bytes | None],
) -> None:
    """Believe a request's chain of origin only where each step of it is signed by the broker that took it.

    Args:
        signed: the links that came with it, oldest first.
        chain: the brokers it says that it came through.
        child: the request's spawn.
        origin: who sent it.
        target: where it came.
        key_of: a member's Ed25519 key (32 bytes); None for who is no member (any more).

    Raises:
        Refused: `unproved_chain`.
        PeerFault: a link has another form.
    """
    links = [link_from_bytes(each.data) for each in signed]
    gap = first_gap(links, chain, child, origin, target)
    for link, each in zip(links, signed, strict=True):
        key = key_of(link.by)
        if gap is None and (key is None or not is_signed(key, authenticated(_DOMAIN, each.data), each.signature)):
            gap = f"the link of {link.by[:8]} is not signed by a member of that id"
    if gap is not None:
        hint = "start it yourself: relay spawn NAME AGENT TASK --broker BROKER"
        raise Refused("its chain of origin is not proved", code=Code.UNPROVED_CHAIN, why=gap, hint=hint)

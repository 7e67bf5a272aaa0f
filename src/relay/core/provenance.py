"""Where a spawn comes from, when a spawn caused it: the signed chain.

    C asks A for P ── P runs on A and asks for Q on B ──► link, signed by A: "P, asked for by C, caused Q, for B"

One link for each broker on the chain of origin, oldest first. Signing is in `relay.trust.provenance`.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.spawning import MAX_CHAIN, is_broker_id
from relay.core.values import frozen
from relay.core.wire import pack, unpack

KEY = "provenance"
"""Of a spawn's body: a list of `[link, signature]`."""
MAX_LINK = 512
MOST_CAUSED = 16
"""How many spawns one spawn may cause, all its attempts together."""
SIGNATURE_BYTES = 64


@frozen
class Link:
    """One step of a chain.

    Attributes:
        parent: the spawn that caused another.
        origin: who asked for it.
        child: the spawn that it caused.
        by: the broker that ran the parent, asks for the child and signs.
        target: where the child is to run.
    """

    parent: str
    origin: BrokerId
    child: str
    by: BrokerId
    target: BrokerId

    def to_bytes(self) -> bytes:
        """The bytes that are signed."""
        return pack([self.parent, self.origin, self.child, self.by, self.target])


@frozen
class SignedLink:
    """A link's bytes and its signature (64 bytes)."""

    data: bytes
    signature: bytes


def link_from_bytes(data: bytes) -> Link:
    """The link in these bytes.

    Raises:
        PeerFault: they have another form.
    """
    parts = unpack(data, MAX_LINK)
    if type(parts) is not list or len(parts) != 5:
        raise _fault("a link of it has another form")
    spawns, brokers = (parts[0], parts[2]), (parts[1], parts[3], parts[4])
    if not all(map(is_spawn_id, spawns)) or not all(map(is_broker_id, brokers)):
        raise _fault("a link of it has another form")
    return Link(*parts)


def links_to_content(links: Sequence[SignedLink]) -> list[list[bytes]]:
    """The links as a spawn's body has them."""
    return [[each.data, each.signature] for each in links]


def links_from_content(content: object) -> tuple[SignedLink, ...]:
    """The links in a spawn's body; none where there are none.

    Raises:
        PeerFault: they have another form.
    """
    if content is None:
        return ()
    if type(content) is not list or len(content) > MAX_CHAIN or not all(map(_is_signed, content)):
        raise _fault("it has another form")
    return tuple(SignedLink(*each) for each in content)


def _is_signed(value: object) -> bool:
    if type(value) is not list or len(value) != 2 or [type(part) for part in value] != [bytes, bytes]:
        return False
    return len(value[0]) <= MAX_LINK and len(value[1]) == SIGNATURE_BYTES


def first_gap(
    links: Sequence[Link], chain: Sequence[BrokerId], child: str, origin: BrokerId, target: BrokerId
) -> str | None:
    """Why these links do not prove a chain, or None.

    Args:
        links: oldest first.
        chain: the brokers that a request says it came through.
        child: the request's spawn.
        origin: who sent it.
        target: where it came.
    """
    if len(links) != len(chain):
        return f"it names {len(chain)} brokers and has {len(links)} signed links"
    for n, link in enumerate(links):
        last = n + 1 == len(links)
        following = (child, origin, target) if last else (links[n + 1].parent, chain[n + 1], links[n + 1].by)
        if link.origin != chain[n] or (link.child, link.by, link.target) != following:
            return f"its link {n + 1} does not fit"
    return None


def _fault(why: str) -> PeerFault:
    return PeerFault("a chain of origin was refused", code=Code.UNPROVED_CHAIN, why=why)

"""The greeting of a link: what this broker says of itself in a hello, and what it makes of the other's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from relay.broker.members import Members
from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.frames import NEWEST
from relay.core.hello import (
    PROTOCOL_VERSIONS,
    AuditHead,
    Binding,
    Hello,
    Incarnation,
    Judgement,
    Role,
    common_version,
    is_behind,
    judge_incarnation,
)
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.trust.hello import is_start_of, sign_hello, sign_start, verify_hello
from relay.trust.identity import Identity


@frozen
class Greeted:
    """A verified hello of a member.

    Attributes:
        peer: who said it.
        hello: what it said.
        judgement: what its incarnation is next to the highest one seen before.
    """

    peer: BrokerId
    hello: Hello
    judgement: Judgement


class Greeter:
    """Makes and judges hellos.

    Args:
        identity: this broker's keys.
        incarnation: of this start.
        members: who may come in.
        audit_head: the end of this broker's audit log.
        addresses: where this broker listens, as it tells others.
        always_on: whether it offers to hold for others.
        clock: milliseconds since 1970.
        of_audit: what else is told to a peer of both audit logs, as fields of a hello.

    Attributes:
        seen_of_us: the highest later start of this broker that a peer proved; 0 for none.
        on_behind: called as soon as one is proved.
    """

    def __init__(
        self,
        identity: Identity,
        incarnation: Incarnation,
        members: Members,
        *,
        audit_head: Callable[[], AuditHead],
        addresses: Callable[[], tuple[str, ...]],
        always_on: bool,
        clock: Callable[[], int],
        of_audit: Callable[[BrokerId, AuditHead], dict[str, Any]] = lambda peer, head: {},
    ) -> None:
        self._of_audit = of_audit
        self._identity = identity
        self._incarnation = replace(incarnation, proof=sign_start(identity, incarnation))
        self._members = members
        self._audit_head = audit_head
        self._addresses = addresses
        self._role = Role.HOLDER if always_on else Role.MEMBER
        self._clock = clock
        self._seen: dict[BrokerId, Incarnation] = {}
        self.seen_of_us = 0
        self.on_behind: Callable[[], None] = lambda: None
        self.versions = PROTOCOL_VERSIONS

    def remember(self, peer: BrokerId, seen: Incarnation) -> None:
        """The highest incarnation seen of a peer, as the store had it."""
        self._seen[peer] = seen

    def binding(self, peer_public: bytes, dialled: bool) -> Binding:
        """The connection between this broker and the holder of that TLS leaf key."""
        own = self._identity.public
        return Binding(own, peer_public) if dialled else Binding(peer_public, own)

    def hello(self, peer_public: bytes, dialled: bool) -> bytes:
        """This broker's signed hello for one connection."""
        peer, head = ids.broker_id(peer_public), self._audit_head()
        seen = self._seen.get(peer)
        hello = Hello(
            versions=self.versions,
            public=self._identity.public,
            name=self._members.own_name,
            role=self._role,
            incarnation=self._incarnation.counter,
            nonce=self._incarnation.nonce,
            roster_head=self._members.roster.head,
            audit_head=head,
            binding=self.binding(peer_public, dialled).digest,
            seen_of_you=seen.counter if seen else 0,
            addresses=self._addresses(),
            clock_ms=self._clock(),
            seen_nonce_of_you=seen.nonce if seen else None,
            start=self._incarnation.proof,
            seen_start_of_you=seen.proof if seen and seen.proof else None,
            frames=NEWEST,
            **self._of_audit(peer, head),
        )
        return sign_hello(self._identity, hello)

    def judge(self, raw: bytes, peer_public: bytes, dialled: bool) -> Greeted:
        """The verified hello of a member, bound to this connection.

        Raises:
            PeerFault: `bad_hello`, `protocol_version`, or `not_a_member`.
        """
        hello = verify_hello(raw, peer_public, self.binding(peer_public, dialled))
        self._require_common_version(hello)
        if self._members.keys(hello.id) is None:
            raise PeerFault(
                f"{hello.name} {ids.short(hello.id)} is not on the roster of this workspace",
                code=Code.NOT_A_MEMBER,
                why="it holds the workspace key, but was never admitted, or was put out",
            )
        new = hello.own_start
        judgement = judge_incarnation(self._seen.get(hello.id), new)
        if judgement is Judgement.NEWER:
            self._seen[hello.id] = new
        # believed with this broker's own signature only: or any member could stop its intake by a number
        if is_behind(self._incarnation, hello.seen) and is_start_of(self._identity.public, hello.seen):
            self.seen_of_us = max(self.seen_of_us, hello.seen_of_you)
            self.on_behind()  # now: what stands behind this hello may be read before anything is awaited
        return Greeted(hello.id, hello, judgement)

    def _require_common_version(self, hello: Hello) -> None:
        ours, theirs = self.versions, hello.versions
        try:
            common_version(ours, theirs)
        except PeerFault as fault:
            older = hello.name if max(theirs) < max(ours) else self._members.own_name
            why = (
                f"{hello.name} speaks protocol {_listed(theirs)}, {self._members.own_name} {_listed(ours)}:"
                f" upgrade relay on {older}"
            )
            raise PeerFault("no link", code=Code.PROTOCOL_VERSION, why=why) from fault


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(versions)))


def fresh_incarnation(counter: int) -> Incarnation:
    """This start's incarnation, from the stored counter that was just raised."""
    return Incarnation(counter, os.urandom(16))

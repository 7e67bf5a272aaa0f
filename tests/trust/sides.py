"""Machines of one workspace that sign its roster, together or out of each other's hearing."""

from __future__ import annotations

import dataclasses

from relay.core.roster import Roster, fold
from relay.core.statements import Statement, pack_statement, unpack_statement
from relay.trust.identity import Identity
from relay.trust.roster import admit, demote, evict, promote
from relay.trust.signing import signed_block

from .seeds import HOME, LAPTOP, NOW, ROOT, STRANGER, VPS, member

MINI = Identity.create(b"\x21" * 32, b"\x22" * 32)
DESK = Identity.create(b"\x23" * 32, b"\x24" * 32)
EVERYBODY = (ROOT, LAPTOP, VPS, MINI, DESK, STRANGER)


class Side:
    """What one machine knows, and what it signs by that."""

    def __init__(self, *known: Statement) -> None:
        self.known = {each.hash: each for each in known}

    @property
    def roster(self) -> Roster:
        return fold(ROOT.public, self.known.values())

    def hear(self, *others: Side) -> None:
        for other in others:
            self.known |= other.known

    def keep(self, made: Statement) -> Statement:
        self.known[made.hash] = made
        return made

    def admit(self, signer: Identity, whom: Identity, name: str = "machine") -> Statement:
        return self.keep(admit(signer, HOME, self.roster, member(whom, name), NOW))

    def promote(self, signer: Identity, whom: Identity) -> Statement:
        return self.keep(promote(signer, HOME, self.roster, whom.id, NOW))

    def demote(self, signer: Identity, whom: Identity) -> Statement:
        return self.keep(demote(signer, HOME, self.roster, whom.id, NOW, "why"))

    def evict(self, signer: Identity, whom: Identity) -> Statement:
        return self.keep(evict(signer, HOME, self.roster, whom.id, NOW, "lost"))


def begun(*admitted: Identity) -> Side:
    side = Side()
    for whom in (ROOT, *admitted):
        side.admit(ROOT, whom)
    return side


def together(*sides: Side) -> Roster:
    """All that the sides know."""
    one = Side()
    one.hear(*sides)
    return one.roster


def parted(side: Side, count: int = 2) -> list[Side]:
    """So many machines that know the same and hear nothing of one another from now on."""
    return [Side(*side.known.values()) for _ in range(count)]


def bent(statement: Statement, identity: Identity, **changes: object) -> Statement:
    """A statement with something else in it, signed whatever it says."""
    content = pack_statement(dataclasses.replace(statement, signer=identity.id, **changes))  # type: ignore[arg-type]
    return unpack_statement(content, signed_block(identity, b"relay-statement/1", content))

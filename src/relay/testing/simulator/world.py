"""What the brokers of a simulated world share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.core.delivery import Outgoing
from relay.core.errors import Code, PeerFault
from relay.core.roster import Roster, fold
from relay.core.statements import Statement
from relay.testing.simulator.disk import Mail, Tables
from relay.testing.simulator.network import Network
from relay.testing.simulator.oracle import Oracle
from relay.testing.simulator.timeline import Timeline

if TYPE_CHECKING:
    from relay.testing.simulator.broker import SimBroker


class Seam:
    """Stands where sealing and signing stand: what crosses links is a number, and what it means is looked up."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, int]] = []

    def keep(self, value: object, padding: int = 0) -> bytes:
        """Bytes that stand for a value, as only who may say it can make them."""
        self._kept.append((value, padding))
        return len(self._kept).to_bytes(8, "big") + bytes(padding)

    def open(self, raw: bytes) -> Any:
        """The value again.

        Raises:
            PeerFault: nobody made these bytes.
        """
        number = int.from_bytes(raw[:8], "big") - 1
        if not 0 <= number < len(self._kept) or raw[8:] != bytes(self._kept[number][1]):
            raise PeerFault("an envelope was refused", code=Code.BAD_SIGNATURE)
        return self._kept[number][0]


@dataclass(slots=True)
class World:
    """What all brokers share."""

    line: Timeline
    network: Network
    seam: Seam
    oracle: Oracle
    root_public: bytes
    brokers: list[SimBroker] = field(default_factory=list)
    mails: int = 0


@dataclass(slots=True)
class SimEntry:
    """One open transaction, as `store.journal.Entry`."""

    tables: Tables
    posted: list[tuple[int, Outgoing]] = field(default_factory=list)
    following: list[Callable[[], None]] = field(default_factory=list)


def mail_id(mail: Mail) -> bytes:
    """The id of an envelope as it stands in windows."""
    return mail.n.to_bytes(16, "big")


_ROSTERS: dict[frozenset[bytes], Roster] = {}


def roster_of(root_public: bytes, statements: dict[bytes, Statement]) -> Roster:
    """What statements add up to. All worlds have the same few, so that each set of them is folded once."""
    known = frozenset(statements)
    if known not in _ROSTERS:
        _ROSTERS[known] = fold(root_public, statements.values())
    return _ROSTERS[known]

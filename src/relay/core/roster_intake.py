"""Which roster statements are kept: those of chains that the fold reads, no more of a fork than proves it.

Whoever signs nothing that counts could else fill the disks of all. What is kept of a chain is bounded by its length,
and how many chains there are by the fold. What is left out changes no fold: it would not have counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from relay.core.ids import BrokerId
from relay.core.roster import Chains, Roster, Seat, read
from relay.core.statements import Statement, StatementKind

NO_LEVEL = 255  # of what stands in no chain that is read


@dataclass(slots=True)
class Taken:
    """What came of statements that were offered.

    Attributes:
        added: those that are to be kept, each after what it follows.
        levels: by hash: how many signers stand above the one that signed it.
        is_missing: one of those left out follows a statement that is not here.
        roster: the fold with them.
        counted: what counts of all.
        kept: the hashes of all that were kept, with them.
    """

    added: list[Statement] = field(default_factory=list)
    levels: dict[bytes, int] = field(default_factory=dict)
    is_missing: bool = False
    roster: Roster = field(init=False)
    counted: list[Statement] = field(init=False)
    kept: Set[bytes] = field(init=False)


class _Stem:
    """A chain up to its first fork, whatever was cut off it."""

    def __init__(self, seat: Seat, chains: Chains) -> None:
        self.seat = seat
        self._chains = chains
        self._hashes = [seat.promotion]
        self._walk()

    def _walk(self) -> None:
        while len(after := self._after(len(self._hashes))) == 1:
            self._hashes += after

    def _after(self, seq: int) -> dict[bytes, Statement]:
        return self._chains.after(self.seat.signer, seq, self._hashes[seq - 1])

    @property
    def _is_forked(self) -> bool:
        return len(self._after(len(self._hashes))) > 1

    def follows(self, statement: Statement) -> bool:
        """Whether it stands in this chain, and may be kept."""
        at = statement.seq
        if not (at <= len(self._hashes) and self._hashes[at - 1] == statement.previous and at <= self.seat.most):
            return False
        return len(self._after(at)) < 2

    def lacks(self, statement: Statement) -> bool:
        """Whether what it follows may yet come."""
        return len(self._hashes) < statement.seq <= self.seat.most and not self._is_forked

    def put(self, statement: Statement) -> None:
        """Keep it: the chain is longer, or ends where it is forked now."""
        self._chains.put(statement)
        if len(self._after(statement.seq)) > 1:
            del self._hashes[statement.seq :]
        else:
            self._walk()


def take(
    root_public: bytes, held: Iterable[Statement], offered: Iterable[Statement], before: Taken | None = None
) -> Taken:
    """Choose from what was offered what is to be kept.

    Args:
        root_public: the creator's raw Ed25519 key, 32 bytes.
        held: verified statements that are kept already.
        offered: verified ones that may be new, in any order.
        before: what came of taking these before, so that they are not folded once more.
    """
    kept = {statement.hash: statement for statement in held}
    pending = {each: statement for statement in offered if (each := statement.hash) not in kept}
    taken = Taken()
    chains = Chains(kept.values())
    folded = (before.roster, before.counted) if before is not None and before.kept == kept.keys() else None
    while True:
        taken.roster, taken.counted = folded or read(root_public, kept.values())
        folded = None
        stems: dict[BrokerId, list[_Stem]] = {}
        for seat in taken.roster.seats:
            stems.setdefault(seat.signer, []).append(_Stem(seat, chains))
        added = _taken_by(stems, pending, taken)
        kept |= added
        # a promotion opens a chain to which more of what was offered may belong
        if not any(each.kind is StatementKind.PROMOTE for each in added.values()):
            break
    if taken.added:
        taken.roster, taken.counted = read(root_public, kept.values())
    taken.kept = kept.keys()
    taken.is_missing = any(stem.lacks(each) for each in pending.values() for stem in stems.get(each.signer, ()))
    return taken


def _taken_by(
    stems: dict[BrokerId, list[_Stem]], pending: dict[bytes, Statement], taken: Taken
) -> dict[bytes, Statement]:
    added: dict[bytes, Statement] = {}
    for found, statement in sorted(pending.items(), key=lambda each: (each[1].seq, each[0])):
        stem = next((each for each in stems.get(statement.signer, ()) if each.follows(statement)), None)
        if stem is not None:
            del pending[found]
            stem.put(statement)
            added[found] = statement
            taken.added.append(statement)
            taken.levels[found] = len(stem.seat.above)
    return added


def put_out(taken: Taken) -> set[BrokerId]:
    """Whom new evicts have put out, some of them only for a time: all that they were granted is over.

    Not whom an evict names that does not hold because its signer does not stand above the one it names, unless another
    signer than that one and those below it took it for one that did, and has undone it.
    """
    new = {each.hash for each in taken.added if each.kind is StatementKind.EVICT}
    if not new:
        return set()
    roster, seats = taken.roster, taken.roster.seats
    under = [at for at, seat in enumerate(seats) for _ in range(seat.seq)]  # as `read` gives them: seat by seat
    undone: dict[bytes, list[int]] = {}
    for at, each in zip(under, taken.counted, strict=True):
        for cited in each.cited:
            undone.setdefault(cited, []).append(at)
    found: set[BrokerId] = set()
    for at, each in zip(under, taken.counted, strict=True):
        if each.hash not in new or each.subject == roster.root:
            continue
        rules = all(at in seats[seat].above for seat in roster.seats_of(each.subject))
        if rules or any(not roster.is_below(by, at) for by in undone.get(each.hash, ())):
            found.add(each.subject)
    return found

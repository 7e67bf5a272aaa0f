"""The roster: who belongs to the workspace and who signs for it, folded from signed statements.

The rules, which `docs/protocol.md` numbers, in short: the fold goes from the root down. A promotion begins a chain of
its own, whose first statement follows the promotion itself. A chain counts without gaps, up to a fork, up to where its
signer ends it, and up to where a signer above has cut it; a ruling from above that a promotion does not cite and that
does not name its chain leaves nothing of that. What counts is then added up with no regard to order: whoever was
admitted belongs, unless it was evicted by a statement that no admission cites.

A fold depends on the set of statements alone. Their form is in `relay.core.statements`, and which of them are kept at
all in `relay.core.roster_intake`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.ids import BrokerId
from relay.core.statements import FIRST_PREVIOUS, MAX_STATEMENTS, Cut, Member, Statement, StatementKind
from relay.core.values import frozen

MAX_MEMBERS = 4_096  # four times the size Relay is made for
MAX_SEATS = 128  # promotions that count, those that are over included; those nearest the root first
MAX_PROMOTIONS = 16  # by one that was promoted itself; the root has all that there are
MAX_ABOVE = 8  # signers above a signer, the root included
MAX_PROMOTED_STATEMENTS = 1_024  # of one chain but the root's: another promotion begins another
_HEAD_DOMAIN = b"relay-roster-head/1"
_RULINGS = (StatementKind.EVICT, StatementKind.DEMOTE)


@frozen
class Seat:
    """A right to sign, and the chain of statements under it.

    Attributes:
        signer: whose.
        promotion: the hash of the promotion that gave it; 32 zero bytes for the root's.
        above: the places in `Roster.seats` of those above, the root's first, the promoter's last.
        seq: how many of its statements count.
        tip: the hash of the last of these; the promotion's where there is none.
        forked: whether two statements follow the tip.
        ended_by: who took it back; None while it stands.
    """

    signer: BrokerId
    promotion: bytes = FIRST_PREVIOUS
    above: tuple[int, ...] = ()
    seq: int = 0
    tip: bytes = FIRST_PREVIOUS
    forked: bool = False
    ended_by: BrokerId | None = None

    @property
    def most(self) -> int:
        """How many statements it may have."""
        return MAX_PROMOTED_STATEMENTS if self.above else MAX_STATEMENTS


@frozen
class Roster:
    """What the statements add up to.

    Attributes:
        root: the workspace's creator.
        members: who belongs, by id.
        evicted: for each id that was put out: the hashes of the evicts that hold, one of each chain, joined.
        seats: who signs or has signed, the root first, those nearer to it before those further down.
        records: for each member: the place in `seats` of the one whose admission gave its name, and the hash of that.
        rulings: for each id that was ever ruled upon: by place in `seats`, the last evict or demote of it there.
    """

    root: BrokerId
    members: dict[BrokerId, Member]
    evicted: dict[BrokerId, bytes]
    seats: tuple[Seat, ...]
    records: dict[BrokerId, tuple[int, bytes]] = field(default_factory=dict)
    rulings: dict[BrokerId, dict[int, bytes]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """How many of the root's statements count."""
        return self.seats[0].seq

    @property
    def tip(self) -> bytes:
        """The hash of the last of these."""
        return self.seats[0].tip

    @property
    def forked(self) -> bool:
        """Whether two statements follow the root's tip."""
        return self.seats[0].forked

    @property
    def head(self) -> bytes:
        """SHA-256 (32 bytes) over every chain's beginning and tip: equal heads mean equal rosters."""
        others = (part for seat in self.seats[1:] for part in (seat.promotion, seat.tip))
        return hashlib.sha256(authenticated(_HEAD_DOMAIN, ids.to_digest(self.root), self.tip, *others)).digest()

    def seats_of(self, broker: BrokerId) -> list[int]:
        """The places in `seats` under which it signs now."""
        return [at for at, seat in enumerate(self.seats) if seat.signer == broker and seat.ended_by is None]

    @property
    def signers(self) -> list[BrokerId]:
        """Who signs the roster now, the root first."""
        return list(dict.fromkeys(seat.signer for seat in self.seats if seat.ended_by is None))

    def signs(self, broker: BrokerId) -> bool:
        """Whether it signs the roster now."""
        return bool(self.seats_of(broker))

    def is_below(self, seat: int, other: int) -> bool:
        """Whether what is signed under `other` rules over the seat: it stands above it, or is that itself."""
        return other == seat or other in self.seats[seat].above


class Chains:
    """Statements by what they follow; duplicates are one."""

    def __init__(self, statements: Iterable[Statement] = ()) -> None:
        self._following: dict[tuple[BrokerId, int, bytes], dict[bytes, Statement]] = {}
        for statement in statements:
            self.put(statement)

    def put(self, statement: Statement) -> None:
        """One more."""
        place = statement.signer, statement.seq, statement.previous
        self._following.setdefault(place, {})[statement.hash] = statement

    def after(self, signer: BrokerId, seq: int, previous: bytes) -> dict[bytes, Statement]:
        """By hash: what this signer says in this place after that."""
        return self._following.get((signer, seq, previous), {})


@dataclass(slots=True)
class _Line:
    """A seat while it is read."""

    seat: Seat
    promotion: Statement | None = None
    chain: list[tuple[bytes, Statement]] = field(default_factory=list)
    rulings: dict[BrokerId, list[tuple[bytes, Statement]]] = field(default_factory=dict)

    def read(self, chains: Chains, cuts: list[Cut]) -> None:
        """Take what counts, in the order of the chain."""
        seat, tip, children = self.seat, self.seat.promotion, dict[bytes, Statement]()
        most = min([cut.seq for cut in cuts] + [seat.most])
        honoured = {(cut.seq, cut.last) for cut in cuts if cut.seq == most}
        ended_by = seat.ended_by
        while len(self.chain) < most:
            children = chains.after(seat.signer, len(self.chain) + 1, tip)
            if len(children) != 1:
                break
            ((found, statement),) = children.items()
            if any((statement.seq, found) != last for last in honoured if statement.seq == most):
                break
            self.chain.append((found, statement))
            tip = found
            if self._hear(found, statement):
                ended_by = ended_by or seat.signer
                break
        self.seat = replace(seat, seq=len(self.chain), tip=tip, forked=len(children) > 1, ended_by=ended_by)

    def _hear(self, found: bytes, statement: Statement) -> bool:
        """Keep a ruling; whether the signer ends its own chain with it."""
        if statement.kind not in _RULINGS:
            return False
        self.rulings.setdefault(statement.subject, []).append((found, statement))
        return bool(self.seat.above) and statement.subject == self.seat.signer

    def promotions(self, root: BrokerId) -> list[tuple[bytes, Statement]]:
        """Those that begin a chain."""
        promoted = StatementKind.PROMOTE
        found = [each for each in self.chain if each[1].kind is promoted and each[1].subject != root]
        return found[: MAX_PROMOTIONS if self.seat.above else MAX_SEATS]


def _judged(lines: list[_Line], line: _Line) -> list[Cut]:
    """Where those above cut this chain; and who took the seat back is noted in it."""
    if line.promotion is None:
        return []
    promotion, cited = line.seat.promotion, set(line.promotion.cited)
    cuts: list[Cut] = []
    for at in line.seat.above:
        rulings = lines[at].rulings.get(line.seat.signer, [])
        known = max((place for place, (found, _) in enumerate(rulings, 1) if found in cited), default=0)
        for _, ruling in rulings[known:]:
            named = [cut for cut in ruling.cuts if cut.promotion == promotion]
            cuts += named or [Cut(promotion, 0, promotion)]
            line.seat = replace(line.seat, ended_by=line.seat.ended_by or ruling.signer)
    return cuts


def _lines(root: BrokerId, statements: Iterable[Statement]) -> list[_Line]:
    chains = Chains(statements)
    lines = [_Line(Seat(root))]
    for at, line in enumerate(lines):  # it grows as it is gone through: level by level
        line.read(chains, _judged(lines, line))
        above = (*line.seat.above, at)
        if len(above) > MAX_ABOVE:
            continue
        for found, promotion in line.promotions(root)[: MAX_SEATS + 1 - len(lines)]:
            lines.append(_Line(Seat(promotion.subject, found, above, tip=found), promotion))
    return lines


@dataclass(slots=True)
class _Course:
    """All that counts about one id, by the places of its signers in the fold."""

    admissions: list[tuple[int, bytes, Statement]] = field(default_factory=list)
    evicts: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    rulings: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def holding(self) -> list[bytes]:
        """The last evict of each chain that no admission undoes."""
        if not self.evicts:
            return []  # so with most, and all are gone through at each word
        undone: dict[int, int] = {}
        for _, _, admission in self.admissions:
            for at, seq in (self.rulings[each] for each in admission.cited if each in self.rulings):
                undone[at] = max(undone.get(at, 0), seq)
        return [found for at, (seq, found) in sorted(self.evicts.items()) if seq > undone.get(at, 0)]

    def record(self) -> tuple[int, bytes, Member]:
        """The member as the admission has it that no other replaces; of several the one nearest the root.

        Its sealing key is the first one's: a signer further down cannot put its own in the place of that.
        """
        if len(self.admissions) == 1:
            ((at, found, admission),) = self.admissions
            assert admission.member is not None
            return at, found, admission.member
        replaced = {each for _, _, admission in self.admissions for each in admission.cited}
        last = {at: (found, admission) for at, found, admission in self.admissions}
        at = min(at for at, (found, _) in last.items() if found not in replaced)
        (found, admission), first = last[at], self.admissions[0][2].member
        member = admission.member
        assert member is not None and first is not None
        if member.sealing_public != first.sealing_public:
            member = replace(member, sealing_public=first.sealing_public)
        return at, found, member


def _courses(root: BrokerId, lines: list[_Line]) -> dict[BrokerId, _Course]:
    courses: dict[BrokerId, _Course] = {}
    seats: dict[BrokerId, list[int]] = {}
    for at, line in enumerate(lines):
        if line.seat.ended_by is None:
            seats.setdefault(line.seat.signer, []).append(at)
    founded = False
    for at, line in enumerate(lines):
        for found, statement in line.chain:
            course = courses.setdefault(statement.subject, _Course())
            if statement.member is not None:
                # before the creator's own admission nobody is admitted
                founded = founded or statement.subject == root == statement.signer
                if founded:
                    course.admissions.append((at, found, statement))
            else:
                course.rulings[found] = (at, statement.seq)
                held = (lines[seat].seat.above for seat in seats.get(statement.subject, ()))
                may = statement.subject != root and all(at in above for above in held)
                if statement.kind is StatementKind.EVICT and may:
                    course.evicts[at] = (statement.seq, found)
    return courses


def _roster(root: BrokerId, lines: list[_Line]) -> Roster:
    courses = _courses(root, lines)
    known = {who: course for who, course in courses.items() if course.admissions}
    by_first = sorted(known, key=lambda who: (known[who].admissions[0][0], known[who].admissions[0][2].seq))
    roster = Roster(root, {}, {}, tuple(line.seat for line in lines))
    founded = root in known and known[root].admissions[0][0] == 0
    for who in by_first if founded else ():
        if holding := known[who].holding():
            roster.evicted[who] = b"".join(holding)
        elif len(roster.members) < MAX_MEMBERS:
            at, found, member = known[who].record()
            roster.members[who] = member
            roster.records[who] = (at, found)
    for at, line in enumerate(lines):
        for who, rulings in line.rulings.items():
            roster.rulings.setdefault(who, {})[at] = rulings[-1][0]
    return roster


def read(root_public: bytes, statements: Iterable[Statement]) -> tuple[Roster, list[Statement]]:
    """The roster, and the statements that count, seat by seat, in the order of their chain; arguments as for `fold`."""
    root = ids.broker_id(root_public)
    lines = _lines(root, statements)
    return _roster(root, lines), [statement for line in lines for _, statement in line.chain]


def fold(root_public: bytes, statements: Iterable[Statement]) -> Roster:
    """The roster that these verified statements of one workspace add up to, in whatever order they come.

    Args:
        root_public: the creator's raw Ed25519 key, 32 bytes.
        statements: each verified by `relay.trust.roster.verify_statement`; duplicates do no harm.
    """
    return read(root_public, statements)[0]

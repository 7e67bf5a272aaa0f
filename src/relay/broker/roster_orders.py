"""What a person asks of the roster: who signs it, putting a member out, and who let whom in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.broker.auditor import Auditor, Decision
from relay.broker.members import Members
from relay.broker.roster import RosterKeeper
from relay.broker.signer import require_signer
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.errors import Misuse
from relay.core.hello import HASH_BYTES
from relay.core.ids import BrokerId
from relay.core.roster import Roster, Seat, read
from relay.core.statements import MAX_REASON, Statement, StatementKind
from relay.store.journal import Entry, Journal
from relay.trust.identity import Identity
from relay.trust.roster import demote, evict, promote
from relay.trust.workspace import Workspace

Ruling = Callable[[Identity, Workspace, Roster, BrokerId, int, str], Statement]


class RosterOrders:
    """Answers `relay broker promote`, `demote` and `evict`, and `relay brokers --roster`.

    Args:
        identity: this broker.
        workspace: whose roster it is.
        members: names, and the roster in use.
        keeper: where statements are kept.
        journal: where they are committed.
        auditor: the audit log.
    """

    def __init__(
        self,
        identity: Identity,
        workspace: Workspace,
        members: Members,
        keeper: RosterKeeper,
        journal: Journal,
        auditor: Auditor,
    ) -> None:
        self._identity = identity
        self._workspace = workspace
        self._members = members
        self._keeper = keeper
        self._journal = journal
        self._auditor = auditor

    # ruling

    async def evict(self, text: str, reason: str) -> dict[str, Any]:
        """Put a member out; durable when this returns, and every member that is linked is being told.

        Args:
            text: its name, or the beginning of its id.
            reason: for people, at most 256 letters; may be empty.

        Raises:
            Misuse: it names none, several, this broker, or the workspace's creator; or the reason is too long.
            Refused: this broker does not sign the roster, or the other signs by another's word.
            LocalFault: the roster cannot be extended.
        """
        broker = self._members.resolve(text)
        self._require_not_root(broker, "put out", "evict")
        self._require_may(broker, "put anybody out", "evict")
        return await self._rule(broker, "evict", _checked(reason), evict)

    async def demote(self, text: str, reason: str) -> dict[str, Any]:
        """End a member's right to sign the roster; what it has signed so far stays. As `evict` otherwise.

        Raises:
            Misuse: as for `evict`, or it does not sign.
            Refused: as for `evict`.
            LocalFault: the roster cannot be extended.
        """
        broker = self._members.resolve(text)
        self._require_not_root(broker, "demoted", "demote")
        self._require_may(broker, "demote anybody", "demote")
        return await self._rule(broker, "demote", _checked(reason), demote)

    async def promote(self, text: str) -> dict[str, Any]:
        """Make a member a signer; durable when this returns.

        Args:
            text: its name, or the beginning of its id.

        Raises:
            Misuse: it names none, several, or one that signs already.
            Refused: this broker does not sign the roster, or nobody more can be promoted.
            LocalFault: the roster cannot be extended.
        """
        broker = self._members.resolve(text)
        self._require_may(broker, "promote anybody", "promote")
        made = await self._sign("promote", broker, "", lambda roster, now: self._promoted(roster, broker, now))
        return {"broker": self._members.label(broker), "at": rfc3339(made.at)}

    def _promoted(self, roster: Roster, broker: BrokerId, now: int) -> Statement:
        return promote(self._identity, self._workspace, roster, broker, now)

    async def _rule(self, broker: BrokerId, verb: str, reason: str, sign: Ruling) -> dict[str, Any]:
        label = self._members.label(broker)

        def make(roster: Roster, now: int) -> Statement:
            return sign(self._identity, self._workspace, roster, broker, now, reason)

        made = await self._sign(verb, broker, reason, make)
        return {"broker": label, "at": rfc3339(made.at), "reason": reason}

    async def _sign(
        self, verb: str, broker: BrokerId, reason: str, make: Callable[[Roster, int], Statement]
    ) -> Statement:
        said = f"{self._members.name(broker)} {ids.grouped(broker)}" + (f": {reason}" if reason else "")

        def decide(entry: Entry) -> Statement:
            made = make(self._members.roster, entry.now)
            self._keeper.add_own(entry, made)
            self._auditor.write(entry, Decision("local", verb, detail=said))
            return made

        async with self._keeper.signing:
            return await self._journal.commit(decide)

    def _require_not_root(self, broker: BrokerId, what: str, verb: str) -> None:
        if broker == self._workspace.root:
            raise Misuse(
                f"{self._members.name(broker)} cannot be {what}",
                why="it created the workspace, and the roster hangs on its signature",
                hint=f"relay broker {verb} BROKER",
            )

    def _require_may(self, broker: BrokerId, what: str, verb: str) -> None:
        require_signer(self._members, what, f"relay broker {verb} {broker[:8]}")

    # showing

    async def show(self) -> dict[str, Any]:
        """Who belongs, who let them in and when; who signs; who was put out, by whom and why."""
        roster, counted = read(self._workspace.root_public, await self._keeper.held())
        by_hash = {each.hash: each for each in counted}
        came, named = _course(counted)

        def label(broker: BrokerId) -> dict[str, str]:
            return {"id": broker, "name": named.get(broker) or self._members.name(broker)}

        def member(broker: BrokerId) -> dict[str, Any]:
            how = {"admitted": rfc3339(came[broker].at), "admitted_by": label(came[broker].signer)}
            return label(broker) | {"signer": roster.signs(broker)} | how

        def signer(seat: Seat) -> dict[str, Any]:
            word = by_hash.get(seat.promotion)
            how = {"at": rfc3339(word.at), "by": label(word.signer)} if word else None
            return label(seat.signer) | {"promoted": how, "forked": seat.forked}

        def gone(broker: BrokerId) -> dict[str, Any]:
            last = by_hash[roster.evicted[broker][-HASH_BYTES:]]
            return label(broker) | {"at": rfc3339(last.at), "by": label(last.signer), "reason": last.reason}

        out = [gone(each) for each in roster.evicted]
        return {
            "root": label(roster.root),
            "signers": [signer(seat) for seat in roster.seats if seat.ended_by is None],
            "head": roster.head.hex(),
            "forked": roster.forked,
            "members": [member(each) for each in sorted(roster.members, key=lambda each: _moment(came[each]))],
            "evicted": sorted(out, key=lambda each: (each["at"], each["id"])),
        }


def _checked(reason: str) -> str:
    if len(reason) > MAX_REASON:
        raise Misuse("the reason is too long", why=f"at most {MAX_REASON} letters are kept", hint="shorten it")
    return reason


def _moment(each: Statement) -> tuple[int, int]:
    return each.at, each.seq


def _course(counted: list[Statement]) -> tuple[dict[BrokerId, Statement], dict[BrokerId, str]]:
    """By id: how each came in, and what it was called last; by the signers' clocks, for people.

    A member that was renamed was admitted anew: when it came in is what its first admission says.
    """
    came: dict[BrokerId, Statement] = {}
    named: dict[BrokerId, str] = {}
    evicts = {each.hash for each in counted if each.kind is StatementKind.EVICT}
    for each in sorted(counted, key=_moment):
        if each.member is not None:
            named[each.subject] = each.member.name
            if each.subject not in came or not evicts.isdisjoint(each.cited):
                came[each.subject] = each
    return came, named

"""What a person asks of the roster: putting a member out, and who let whom in."""

from __future__ import annotations

from typing import Any

from relay.broker.auditor import Auditor, Decision
from relay.broker.members import Members
from relay.broker.roster import RosterKeeper
from relay.broker.signer import require_signer
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.errors import Misuse
from relay.core.ids import BrokerId
from relay.core.roster import MAX_REASON, Statement, StatementKind, counted
from relay.store.journal import Entry, Journal
from relay.trust.identity import Identity
from relay.trust.roster import evict, verify_statement
from relay.trust.workspace import Workspace


class RosterOrders:
    """Answers `relay broker evict` and `relay brokers --roster`.

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

    # putting out

    async def evict(self, text: str, reason: str) -> dict[str, Any]:
        """Put a member out; durable when this returns, and every member that is linked is being told.

        Args:
            text: its name, or the beginning of its id.
            reason: for people, at most 256 letters; may be empty.

        Raises:
            Misuse: it names none, several, this broker, or the workspace's creator; or the reason is too long.
            Refused: this broker does not sign the roster.
            LocalFault: the roster cannot be extended.
        """
        broker = self._members.resolve(text)
        self._require_may_evict(broker)
        if len(reason) > MAX_REASON:
            raise Misuse("the reason is too long", why=f"at most {MAX_REASON} letters are kept", hint="shorten it")
        label = self._members.label(broker)

        def decide(entry: Entry) -> Statement:
            made = evict(self._identity, self._workspace, self._members.roster, broker, entry.now, reason)
            self._keeper.add(entry, [made])
            said = f"{label['name']} {ids.grouped(broker)}" + (f": {reason}" if reason else "")
            self._auditor.write(entry, Decision("local", "evict", detail=said))
            return made

        async with self._keeper.signing:
            made = await self._journal.commit(decide)
        return {"broker": label, "at": rfc3339(made.at), "reason": reason}

    def _require_may_evict(self, broker: BrokerId) -> None:
        name, root = self._members.name(broker), self._workspace.root
        if broker == root:
            raise Misuse(
                f"{name} cannot be put out",
                why="it created the workspace, and the roster hangs on its signature",
                hint="relay broker evict BROKER",
            )
        command = f"relay broker evict {broker[:8]}"
        require_signer(self._identity, self._workspace, self._members, "put anybody out", command)

    # showing

    async def show(self) -> dict[str, Any]:
        """Who belongs, who let them in and when; who was put out, by whom and why."""
        raws = await self._keeper.raws()
        chain = counted(self._workspace.root_public, [verify_statement(self._workspace, raw) for raw in raws])
        roster = self._members.roster
        came, went, named = _course(chain)

        def label(broker: BrokerId) -> dict[str, str]:
            return {"id": broker, "name": named.get(broker) or self._members.name(broker)}

        def member(broker: BrokerId) -> dict[str, Any]:
            how = {"admitted": rfc3339(came[broker].at), "admitted_by": label(came[broker].signer)}
            return label(broker) | {"signer": broker == roster.root} | how

        def gone(broker: BrokerId) -> dict[str, Any]:
            last = went[broker]
            return label(broker) | {"at": rfc3339(last.at), "by": label(last.signer), "reason": last.reason}

        return {
            "root": label(roster.root),
            "signers": [label(roster.root)],
            "head": roster.head.hex(),
            "forked": roster.forked,
            "members": [member(each) for each in sorted(roster.members, key=lambda each: came[each].seq)],
            "evicted": [gone(each) for each in sorted(roster.evicted, key=lambda each: went[each].seq)],
        }


def _course(
    chain: list[Statement],
) -> tuple[dict[BrokerId, Statement], dict[BrokerId, Statement], dict[BrokerId, str]]:
    """By id: how each came in, how it went, and what it was called last.

    A member that was renamed was admitted anew: when it came in is what its first admission says.
    """
    came: dict[BrokerId, Statement] = {}
    went: dict[BrokerId, Statement] = {}
    named = {each.subject: each.member.name for each in chain if each.member is not None}
    for each in chain:
        if each.kind is StatementKind.ADMIT:
            came.setdefault(each.subject, each)
        elif each.kind is StatementKind.EVICT:
            came.pop(each.subject, None)
            went[each.subject] = each
    return came, went, named

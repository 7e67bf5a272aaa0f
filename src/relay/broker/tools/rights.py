"""Who may call what here: the verb `tool`, for the origin and everybody on the chain it came through. Default deny."""

from __future__ import annotations

from relay.broker.allowed import Grants
from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.gate import Gate
from relay.broker.members import Members
from relay.core.errors import Code, LocalFault, Refused, RelayError
from relay.core.grants import DEFAULT_DEPTH
from relay.core.ids import BrokerId
from relay.store import offers
from relay.store.call_rows import CallRow
from relay.store.journal import Entry
from relay.store.offers import Offered, Share
from relay.store.spawn_rows import BY_ID as SPAWN_BY_ID
from relay.store.spawn_rows import SpawnRow

VERB = "tool"
_ENDED = frozenset({Code.NO_GRANT, Code.NO_VERB, Code.GRANT_EXPIRED})


class ToolRights:
    """Judges calls, and has each judgement of another broker's call written down.

    Args:
        members: names, and who belongs.
        gate, grants: trust.toml.
        auditor: the audit log.
    """

    def __init__(self, members: Members, gate: Gate, grants: Grants, auditor: Auditor) -> None:
        self._members = members
        self._gate = gate
        self._grants = grants
        self._auditor = auditor

    def may_see(self, broker: BrokerId) -> bool:
        """Whether a broker is told what is shared here; False for every doubt."""
        return self._members.keys(broker) is not None and VERB in self._grants.verbs_of(broker)

    @property
    def can_judge(self) -> bool:
        """Whether trust.toml can be read: else nobody is told that there is nothing."""
        try:
            self._grants.all()
        except LocalFault:
            return False
        return True

    def refusal(self, entry: Entry, row: CallRow) -> RelayError | None:
        """Why a call may not be done here now, or None; a refusal is written down."""
        try:
            self._require(entry, row)
        except RelayError as error:
            self.note_refusal(entry, row, error)
            return error
        return None

    def lack(self, entry: Entry, row: CallRow) -> RelayError | None:
        """What a call lacks of rights since they were changed; None where it was not they that changed."""
        try:
            self._require(entry, row)
        except RelayError as error:
            return error if error.code in _ENDED else None
        return None

    def _require(self, entry: Entry, row: CallRow) -> None:
        if (spawn := self._spawn_of(entry, row)) is not None:
            self._gate.require_grant(entry, spawn)
            return
        if len(row.chain) > DEFAULT_DEPTH:
            why = f"this call came through {len(row.chain)} spawns, the limit is {DEFAULT_DEPTH}"
            hint = f"call it yourself: relay tools call {row.tool}"
            raise Refused("the chain of spawns is too deep", code=Code.TOO_DEEP, why=why, hint=hint)
        for each in (row.origin, *row.chain):
            if each != self._members.own:
                self._gate.require(each, VERB, own=False, now=entry.now)

    def _spawn_of(self, entry: Entry, row: CallRow) -> SpawnRow | None:
        """The spawn of this very runner whose work a call is: its grant names the runner, which is enough."""
        if row.parent is None or row.origin != self._members.own or row.target != self._members.own:
            return None
        spawn = SPAWN_BY_ID.one(entry.tx, id=row.parent)
        if spawn is None or spawn.target != row.target or spawn.agent != row.tool:
            return None
        return spawn if self._gate.is_runner(spawn.agent) else None

    def note(self, entry: Entry, row: CallRow) -> None:
        """A call starts: another broker's is written down."""
        if row.origin != self._members.own or row.chain:
            self._auditor.write(entry, Decision(row.origin, VERB, detail=_detail(row)))

    def note_refusal(self, entry: Entry, row: CallRow, error: RelayError) -> None:
        """A call was refused."""
        self._auditor.write(entry, refusal(row.origin, VERB, error, _detail(row)))

    def offered(self, entry: Entry, row: CallRow) -> Offered | None:
        """The runner that a call is for, where its origin may know of it: others know of what is shared alone."""
        found = offers.BY_NAME.one(entry.tx, name=row.tool)
        if found is None or row.origin == self._members.own:
            return found
        return found if is_shared(found, offers.SHARES.all(entry.tx)) else None


def is_shared(offered: Offered, shares: list[Share]) -> bool:
    """Whether a runner is offered to others: as a tool of a share, or because a person shares it."""
    if any(share.runner == offered.name for share in shares):
        return True
    if offered.share is None:
        return False
    share = next((each for each in shares if each.name == offered.share), None)
    if offered.kind == "runner":
        return True  # the program of this machine's own user says so
    return share is not None and (not share.chosen or offered.name in share.chosen)


def _detail(row: CallRow) -> str:
    return f"{row.id} {row.tool}"

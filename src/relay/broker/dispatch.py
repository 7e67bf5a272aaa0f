"""What each durable kind of envelope does here, inside the transaction that takes it in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from relay.broker import rollback
from relay.broker.auditor import REFUSED, Auditor, Decision, refusal
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError
from relay.core.field_checks import is_moment
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.kinds import Kind
from relay.core.spawning import Snapshot, SpawnRequest, request_from_content, snapshot_from_bytes
from relay.core.states import NOT_STARTED, State
from relay.core.tails import earlier, tail_from_content
from relay.spawn.ledger import Ledger, Step, state_event
from relay.spawn.supervisor import Supervisor
from relay.store import meta, outbox, peers, queueing, spawns, tails, words
from relay.store.journal import Entry
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.trust.sealing import verify_snapshot

MOST_WORDS = 64  # of a target on one spawn: it has no end of them, and an origin has one disk
MOST_BY = 200  # letters
KEPT_REFUSED = 100  # of who may not spawn here: each may be as long as an envelope
TOMBSTONE_MS = 31 * 86_400_000
STOPPED_BEFORE = "stopped by its origin before it came"
Admit = Callable[[Entry, SpawnRow], SpawnRow]
_log = logging.getLogger(__name__)


def _at_once(entry: Entry, row: SpawnRow, admit: Admit) -> None:
    admit(entry, row)


def _as_known(entry: Entry, snapshot: Snapshot, run: object, row: SpawnRow | None) -> SpawnRow | None:
    return row


class Dispatch:
    """Acts on what other brokers ask and tell.

    Args:
        members: names and keys.
        gate: what others may do.
        auditor: the audit log.
        ledger: this broker's word on its spawns.
        supervisor: runs them.
        may_expire: whether this clock is believed, so that anything may be called expired.
        early: admits a spawn, and does with it what was asked before it came.
        run_of: takes what comes with a word on a schedule's run, and makes its row where there is none yet.
        collected: takes on the files that a word lists.
        prove: keeps the proof of a request's chain of origin, or raises.
        never_came: told of a spawn of this broker that was stopped at its target before it came there.
    """

    def __init__(
        self,
        members: Members,
        gate: Gate,
        auditor: Auditor,
        ledger: Ledger,
        supervisor: Supervisor,
        may_expire: Callable[[], bool],
        early: Callable[[Entry, SpawnRow, Admit], None] = _at_once,
        run_of: Callable[[Entry, Snapshot, object, SpawnRow | None], SpawnRow | None] = _as_known,
        collected: Callable[[Entry, SpawnRow, Snapshot], None] = lambda entry, row, snapshot: None,
        prove: Callable[[Entry, Opened, SpawnRequest], None] = lambda entry, each, request: None,
        never_came: Callable[[Entry, SpawnRow], None] = lambda entry, row: None,
    ) -> None:
        self._prove = prove
        self._never_came = never_came
        self._may_expire = may_expire
        self._early = early
        self._run_of = run_of
        self._collected = collected
        self._members = members
        self._gate = gate
        self._auditor = auditor
        self._ledger = ledger
        self._supervisor = supervisor

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.SPAWN: self._spawn, Kind.STOP: self._stop, Kind.SNAPSHOT: self._snapshot}

    # at the target

    def has_taken(self, entry: Entry, each: Opened) -> bool | None:
        """Whether the spawn that an envelope asks for, or tells of, is here; None where it may have been forgotten."""
        if each.kind is Kind.SPAWN:
            row = BY_ID.one(entry.tx, id=str(each.body.content["spawn"]))
            if row is not None and row.origin == each.header.origin and row.target == self._members.own:
                return True
        if each.kind is Kind.SNAPSHOT and _is_known(entry, each):
            return True
        # a store that was an older copy of itself has forgotten what came after the copy was made
        return None if meta.get(entry.tx, rollback.KEY) is not None else False

    def _spawn(self, entry: Entry, each: Opened) -> None:
        origin = each.header.origin
        request = request_from_content(each.body.content)
        if BY_ID.one(entry.tx, id=request.id) is not None:
            self._same_or_refuse(entry, request, origin)
            return
        self._take(entry, each, request)
        if not self._gate.may_spawn(origin):
            gone = spawns.refused_beyond(entry.tx, origin, self._members.own, KEPT_REFUSED)
            spawns.forget(entry.tx, gone)
            outbox.drop_dead_of(entry.tx, gone)

    def _take(self, entry: Entry, each: Opened, request: SpawnRequest) -> None:
        origin = each.header.origin
        try:
            row = self._insert(entry, request, each, may_share_name=False)
        except Misuse as fault:
            error: RelayError = fault
            row = self._insert(entry, request, each, may_share_name=True)
            error = self._lacking(entry, row) or self._gate.told(origin, error, entry.now)
            self._auditor.write(entry, refusal(origin, "spawn", error, request.id))
            self._supervisor.refuse(entry, row, error)
            return
        try:
            self._prove(entry, each, request)
        except RelayError as error:
            self._auditor.write(entry, refusal(origin, "spawn", error, request.id))
            self._supervisor.refuse(entry, row, error)
            return
        self._admit(entry, row, origin)

    def _lacking(self, entry: Entry, row: SpawnRow) -> RelayError | None:
        """Why its grant does not allow it, which comes before all that is known of other spawns here."""
        try:
            self._gate.require_grant(entry, row)
        except RelayError as error:
            return error
        return None

    def _same_or_refuse(self, entry: Entry, request: SpawnRequest, origin: BrokerId) -> None:
        row = spawns.require(entry.tx, request.id)
        if row.origin != origin or row.target != self._members.own:
            raise PeerFault("a spawn was refused", code=Code.CONFLICT, why="its id belongs to another broker's spawn")

    def _insert(self, entry: Entry, request: SpawnRequest, each: Opened, *, may_share_name: bool) -> SpawnRow:
        return spawns.insert(
            entry.tx,
            request,
            origin=each.header.origin,
            target=self._members.own,
            operation=each.body.operation,
            state=State.DELIVERED,
            since=entry.now,
            may_share_name=may_share_name,
        )

    def _admit(self, entry: Entry, row: SpawnRow, origin: BrokerId) -> None:
        if words.is_buried(entry.tx, origin, row.id):
            self._ledger.step(entry, row, Step(State.CANCELLED, STOPPED_BEFORE))
        elif row.expires <= entry.now and self._may_expire():
            self._ledger.step(entry, row, Step(State.EXPIRED, "it came after its time to live"))
        else:
            self._early(entry, row, self._supervisor.admit)

    def _stop(self, entry: Entry, each: Opened) -> None:
        origin, spawn = each.header.origin, each.body.content["spawn"]
        if not is_spawn_id(spawn):
            raise PeerFault("a stop was refused", why="it names no spawn")
        row = BY_ID.one(entry.tx, id=spawn)
        if row is None:
            self._bury(entry, origin, spawn)
            return
        if row.target != self._members.own:
            # what this broker asked of another: its own copy of that one's word is not for others to end
            why, hint = "it runs on another broker", f"relay stop {spawn}@{self._members.name(row.target)}"
            error = Refused("a stop was refused", code=Code.UNKNOWN_SPAWN, why=why, hint=hint)
            self._auditor.write(entry, refusal(origin, "stop", error, spawn))
            return
        try:
            self._gate.require(origin, "stop", row.origin == origin, entry.now)
        except RelayError as error:
            # one's own spawn may always be stopped: the right to start it was the right to end it
            if row.origin != origin:
                self._auditor.write(entry, refusal(origin, "stop", error, spawn))
                return
        self._supervisor.stop(entry, row, self._members.name(origin))

    def _bury(self, entry: Entry, origin: BrokerId, spawn: str) -> None:
        """It will never start here; its origin is told, because its request may never come to be answered."""
        is_new = not words.is_buried(entry.tx, origin, spawn)
        if not words.bury(entry.tx, origin, spawn, entry.now + TOMBSTONE_MS):
            raise PeerFault("a stop was refused", code=Code.RATE_LIMITED, why="too many came before their spawns")
        if is_new:
            self._ledger.tell_buried(entry, origin, spawn, STOPPED_BEFORE)

    # at the origin

    def _snapshot(self, entry: Entry, each: Opened) -> None:
        data, signature = each.body.content["snapshot"], each.body.content["signature"]
        if type(data) is not bytes or type(signature) is not bytes:
            raise PeerFault("a snapshot was refused", why="it has another form")
        snapshot = snapshot_from_bytes(data)
        self._check_word(each.header.origin, snapshot, data, signature)
        row = BY_ID.one(entry.tx, id=snapshot.spawn)
        if "run" in each.body.content:
            row = self._run_of(entry, snapshot, each.body.content["run"], row)
        if row is None or row.target != snapshot.target:
            raise Pointless
        words.keep(
            entry.tx,
            words.SignedWord(
                snapshot.spawn, snapshot.attempt, snapshot.seq, snapshot.state, snapshot.at, signature, data
            ),
        )
        words.keep_newest(entry.tx, row.id, MOST_WORDS)
        ahead = peers.skew_of(entry.tx, row.target)
        if "tail" in each.body.content:
            self._keep_tail(entry, row, each.body.content["tail"], ahead)
        shown = snapshot.earlier(ahead)
        if shown.tried is not None:  # by this word alone it is known, whichever has overtaken it
            queueing.keep_try(entry.tx, row.id, shown.tried["n"], shown.tried["asked"], shown.tried["outcome"])
        if spawns.apply_snapshot(entry.tx, shown, entry.now):
            if "paused" in each.body.content and shown.state in NOT_STARTED:
                row = _marked(entry, row, each.body.content["paused"], ahead)
            self._told(entry, row, shown)
            self._collected(entry, row, shown)
            if _is_buried(shown):
                self._never_came(entry, spawns.require(entry.tx, row.id))

    def _keep_tail(self, entry: Entry, row: SpawnRow, content: object, ahead: int) -> None:
        """Keep the end of its output; one of another form is dropped: the word beside it counts all the same."""
        try:
            tails.keep(entry.tx, row.id, earlier(tail_from_content(content), ahead))
        except PeerFault as fault:
            name = self._members.name(row.target)
            _log.warning("%s sent a tail of %s that cannot be read: %s", name, row.id, fault.why)

    def _check_word(self, origin: BrokerId, snapshot: Snapshot, data: bytes, signature: bytes) -> None:
        keys = self._members.keys(snapshot.target)
        if keys is None or snapshot.target != origin:
            raise PeerFault("a snapshot was refused", why="it is not the word of the broker that sent it")
        verify_snapshot(keys.public, data, signature)

    def _told(self, entry: Entry, row: SpawnRow, snapshot: Snapshot) -> None:
        entry.event("spawn.state", state_event(snapshot), spawns.after_word(row, snapshot, entry.now))
        if snapshot.state is State.REJECTED:
            code = str((snapshot.error or {}).get("code", ""))[:64]
            detail = f"{row.id} {row.name} was refused there: {snapshot.reason[:300]}"
            self._auditor.write(entry, Decision(row.target, "spawn", REFUSED, code, detail))


def _is_buried(word: Snapshot) -> bool:
    """Whether it is all that its target has of a spawn, as far as a word tells: it may never come there."""
    return word.order == (0, 1) and word.state is State.CANCELLED and word.error is None


def _marked(entry: Entry, row: SpawnRow, said: object, ahead: int) -> SpawnRow:
    """Bring the copy's mark to the target's: another broker, or a person there, may have paused it, or resumed it."""
    if said is None:
        if row.paused is None:
            return row
        queueing.resume(entry.tx, row.id)
        return replace(row, paused=None, paused_by=None)
    if isinstance(said, dict) and is_moment(said.get("at")) and isinstance(said.get("by"), str):
        at, by = max(0, said["at"] - ahead), said["by"][:MOST_BY]
        queueing.pause(entry.tx, row.id, at, by)
        return replace(row, paused=at, paused_by=by)
    return row


def _is_known(entry: Entry, each: Opened) -> bool:
    data = each.body.content["snapshot"]
    return type(data) is bytes and BY_ID.one(entry.tx, id=snapshot_from_bytes(data).spawn) is not None

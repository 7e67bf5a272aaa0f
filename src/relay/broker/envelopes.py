"""`relay outbox`: every envelope this broker holds, why it is still here, and what its owner may do about it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from relay.broker.answers import Answers
from relay.broker.asked_before import conflict
from relay.broker.dialler import Dialler
from relay.broker.envelope_waits import EnvelopeWaits
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.notices import Notices
from relay.broker.presence import Attendance
from relay.broker.reissue import Reissue
from relay.broker.requests import Requests
from relay.broker.tools.asking import CallAsking
from relay.broker.words import rfc3339
from relay.core.delivery import Outgoing
from relay.core.errors import Code, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import AHEAD, Kind
from relay.core.states import TERMINAL
from relay.store import answers, held, operations, outbox, refusals, schedules, spawns, steers
from relay.store.held import HeldLine
from relay.store.journal import Entry, Journal
from relay.store.outbox import OutboxLine, OutboxState
from relay.store.refusals import Refusal, RefusalState
from relay.store.spawn_rows import BY_ID, SpawnRow

MAX_LINES = 1_000
MIN_PREFIX = 4
MAX_TASK_SHOWN = 200
_LISTED_BY: dict[str, str] = {Kind.SCHEDULE: "relay schedule list", Kind.ANSWER: "relay review"}
# by code: what the recipient's NACK means, in this broker's own words
_GIVEN_UP: dict[str, str] = {
    Code.UNKNOWN_KIND: "{name} does not know this kind of envelope: upgrade relay on {name}, then retry it",
    Code.POISON: "{name} failed at it five times; broker.log on {name} says why",
    Code.EXPIRES_LATE: "{name} took it for one of the future: this machine's clock was ahead when it was made",
    Code.RATE_LIMITED: "{name} takes only so many requests a minute from a broker without a grant",
}


class Envelopes:
    """Shows what waits, and carries out what its owner decides.

    Args:
        members: names.
        journal: where decisions are committed.
        mesh: who is linked, and what is in flight.
        dialler: when a broker is dialled next.
        attendance: who is there.
        notices: whose intake is stopped.
        requests: ends spawns that were never sent.
        calls: ends calls that were never sent.
        answers: ends answers that were never sent.
        reissue: seals again what has expired meanwhile.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        mesh: Mesh,
        dialler: Dialler,
        attendance: Attendance,
        notices: Notices,
        requests: Requests,
        calls: CallAsking,
        answers: Answers,
        reissue: Reissue,
    ) -> None:
        self._calls = calls
        self._answers = answers
        self._members = members
        self._journal = journal
        self._mesh = mesh
        self._waits = EnvelopeWaits(members, mesh, dialler, attendance, notices, journal.clock)
        self._requests = requests
        self._reissue = reissue

    # what there is

    async def listing(self) -> dict[str, Any]:
        """Every envelope this broker holds, and what it did not take in."""
        store = self._journal.store
        lines = await store.all(outbox.ALL, limit=MAX_LINES)
        dead = await store.all(outbox.DEAD, recipient=None, limit=MAX_LINES)
        kept_out = await store.all(refusals.NEWEST, limit=MAX_LINES)
        kept = await store.all(held.ALL, limit=MAX_LINES)
        return {
            "outgoing": [self._pending(line) for line in lines if line.state is OutboxState.PENDING],
            "incoming": [self._refused(each) for each in kept_out],
            "held_for_others": [self._held(line) for line in kept],
            "dead": [self._dead(line) for line in dead],
        }

    def _row(self, line: OutboxLine) -> dict[str, Any]:
        sends = self._mesh.window(line.recipient).sends(line.id)
        return {
            "id": line.id.hex(),
            "kind": line.kind,
            "peer": self._members.name(line.recipient),
            "state": str(line.state),
            "age_s": self._age(line.created),
            "tries": max(line.tries, line.handed, sends),
            "next_try": None,
            "reason": "",
        }

    def _age(self, since: int) -> float:
        return max(self._journal.clock() - since, 0) / 1000

    def _pending(self, line: OutboxLine) -> dict[str, Any]:
        seconds, reason = self._waits.own(line)
        return self._row(line) | {"next_try": self._in(seconds), "reason": line.reason or reason}

    def _in(self, seconds: float | None) -> str | None:
        return None if seconds is None else rfc3339(self._journal.clock() + int(seconds * 1000))

    def _held(self, line: HeldLine) -> dict[str, Any]:
        seconds, reason = self._waits.kept(line)
        return {
            "id": line.id.hex(),
            "kind": line.kind,
            "peer": f"{self._members.name(line.origin)} -> {self._members.name(line.recipient)}",
            "state": "held",
            "age_s": self._age(line.since),
            "tries": self._mesh.kept_window(line.recipient).sends(line.id),
            "next_try": self._in(seconds),
            "reason": reason,
        }

    def _dead(self, line: OutboxLine) -> dict[str, Any]:
        code, _, why = line.reason.partition(": ")
        name = self._members.name(line.recipient)
        known = _GIVEN_UP.get(code)
        return self._row(line) | {"reason": known.format(name=name) if known else f"{name} refused it: {why or code}"}

    def _refused(self, each: Refusal) -> dict[str, Any]:
        failing = each.state is RefusalState.FAILING
        again = "; taken up again when it comes again" if failing else ""
        return {
            "id": each.id.hex(),
            "kind": each.kind,
            "peer": self._members.name(each.origin),
            "state": str(each.state),
            "age_s": self._age(each.first),
            "tries": each.tries,
            "next_try": None,
            "reason": each.reason + again,
        }

    # what its owner decides

    async def retry(self, body: dict[str, Any], operation: str) -> dict[str, Any]:
        """Send dead letters again: one by the beginning of its id, or all.

        Raises:
            Misuse: there is none such, or sending it again would contradict how its spawn has ended.
        """
        return await self._each(body, operation, "retry", self._retry)

    async def drop(self, body: dict[str, Any], operation: str) -> dict[str, Any]:
        """Take envelopes out of the outbox: one by the beginning of its id, or all dead letters.

        Raises:
            Misuse: there is none such, or it may have been sent.
        """
        return await self._each(body, operation, "drop", self._drop)

    async def _each(
        self, body: dict[str, Any], operation: str, verb: str, act: Callable[[Entry, OutboxLine, str], None]
    ) -> dict[str, Any]:
        broker = self._members.resolve(str(body["broker"])) if body.get("broker") else None
        by = str(body.get("requested_by") or "a request")[:128]

        def decide(entry: Entry) -> dict[str, Any]:
            known: dict[str, Any] | None = operations.ANSWER.one(entry.tx, op=operation)
            if known is None:
                known = {"verb": verb} | self._decided(entry, body, broker, lambda line: act(entry, line, by))
                operations.remember(entry.tx, operation, entry.now, known)
            if "done" not in known or known.get("verb", verb) != verb:  # an earlier version kept none
                raise conflict()
            return {key: known[key] for key in ("done", "refused")}

        return await self._journal.commit(decide)

    def _decided(
        self, entry: Entry, body: dict[str, Any], broker: BrokerId | None, act: Callable[[OutboxLine], None]
    ) -> dict[str, Any]:
        if not body.get("all"):
            line = self._found(entry, str(body.get("id") or ""))
            act(line)
            return {"done": [self._row(line)], "refused": []}
        done, refused = [], []
        for line in outbox.DEAD.all(entry.tx, recipient=broker, limit=-1):
            try:
                act(line)
                done.append(self._row(line))
            except RelayError as error:
                refused.append(self._row(line) | {"error": error.to_json()})
        return {"done": done, "refused": refused}

    def _found(self, entry: Entry, prefix: str) -> OutboxLine:
        wanted = prefix.lower()
        usable = MIN_PREFIX <= len(wanted) <= 32 and all(letter in "0123456789abcdef" for letter in wanted)
        found = outbox.BY_PREFIX.all(entry.tx, prefix=wanted) if usable else []
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(f"{line.id.hex()} ({line.kind})" for line in found[:5])
            hint = "name it by more letters of its id"
            raise Misuse(f"{prefix[:40]!r} may be several envelopes", code=Code.AMBIGUOUS, why=several, hint=hint)
        if usable and (kept := held.BY_PREFIX.one(entry.tx, prefix=wanted)) is not None:
            between = f"{self._members.name(kept.origin)} -> {self._members.name(kept.recipient)}"
            raise Misuse(
                f"the envelope {kept.id.hex()[:12]} is kept for others: {between}",
                code=Code.CONFLICT,
                why="only they can end it: its recipient by taking it, its origin by taking it back",
                hint=f"on {self._members.name(kept.origin)}: relay outbox",
            )
        why = f"an id's beginning has at least {MIN_PREFIX} of 0-9 and a-f"
        raise Misuse(
            f"there is no envelope {prefix[:40]!r} in the outbox",
            code=Code.UNKNOWN_ENVELOPE,
            why="" if usable else why,
            hint="relay outbox",
        )

    def _retry(self, entry: Entry, line: OutboxLine, by: str) -> None:
        if line.state is not OutboxState.DEAD:
            why = "it is not given up: it is sent by itself"
            raise Misuse("it needs no retry", code=Code.CONFLICT, why=why, hint="relay outbox")
        row = BY_ID.one(entry.tx, id=line.spawn) if line.kind == Kind.SPAWN else None
        if row is not None and row.state in TERMINAL:
            raise Misuse(
                f"the spawn {row.name} has ended as {row.state}",
                code=Code.CONFLICT,
                why="what was told as ended is not brought back to life; ask for it anew",
                hint=self._asked_anew(row),
            )
        if line.kind == Kind.TOOL_CALL and self._calls.has_ended(entry, line):
            why = "what was told as ended is not brought back to life; call it anew"
            raise Misuse("that call has ended", code=Code.CONFLICT, why=why, hint="relay tools")
        if line.kind == Kind.STEER:
            steers.reopen(entry.tx, line.operation)
        if line.kind == Kind.ANSWER:
            answers.reopen(entry.tx, line.operation)
        # under a new expiry where it can be made anew; what is sent as it was may have expired meanwhile
        if line.kind in (Kind.SNAPSHOT, Kind.STOP) or line.kind in self._reissue.tools.kinds:
            self._reissue.again(entry, line)
        elif (parcel := outbox.retry(entry.tx, line.id)) is not None:
            outgoing = Outgoing(parcel.n, parcel.id, parcel.envelope, parcel.tries > 0, parcel.kind in AHEAD)
            entry.posted.append((line.recipient, outgoing))
        self._changed(entry, line, OutboxState.PENDING)

    def _asked_anew(self, row: SpawnRow) -> str:
        words = ["relay", "spawn", row.name, row.agent]
        if not row.argv:
            words.append(row.task if len(row.task) <= MAX_TASK_SHOWN else "@FILE")
        words += ["--broker", self._members.name(row.target)]
        for flag, value in (("--cwd", row.cwd), ("--model", row.model)):
            words += [flag, value] if value else []
        words += ["--mode", row.mode] if row.mode != "edit" else []
        return shlex.join([*words, *(("--", *row.argv) if row.argv else ())])

    def _drop(self, entry: Entry, line: OutboxLine, by: str) -> None:
        if line.state is not OutboxState.DEAD:
            self._require_unsent(entry, line, by)
        outbox.drop(entry.tx, line.id)
        entry.then(lambda: self._mesh.window(line.recipient).drop([line.id]))
        self._changed(entry, line, None)

    def _require_unsent(self, entry: Entry, line: OutboxLine, by: str) -> None:
        name = self._members.name(line.recipient)
        sent = f"it may have been sent: {name} or a broker on the way may have it"
        if line.kind == Kind.SPAWN and line.spawn is not None:
            if self._requests.withdraw(entry, line.spawn, by) is None:
                raise Misuse(
                    "that envelope cannot be dropped", code=Code.CONFLICT, why=sent, hint=f"relay stop {line.spawn}"
                )
        elif line.kind in (Kind.TOOL_CALL, Kind.TOOL_STOP):
            if not self._calls.drop(entry, line, by):
                raise Misuse("that envelope cannot be dropped", code=Code.CONFLICT, why=sent, hint="relay outbox")
        elif line.kind in (Kind.STOP, Kind.STEER, Kind.SCHEDULE, Kind.ANSWER):
            spawn = line.spawn or ""  # none where it is about a whole queue, or about what its target alone knows
            hint = _LISTED_BY.get(line.kind, f"relay show {spawn}")
            if line.tries > 0:
                hint = hint if spawn else "relay outbox"
                raise Misuse("that envelope cannot be dropped", code=Code.CONFLICT, why=sent, hint=hint)
            if line.kind == Kind.STOP:
                spawns.clear_stop(entry.tx, spawn)
                return
            if line.kind == Kind.ANSWER:
                self._answers.dropped(entry, line.operation, line.recipient, by, hint)
                return
            # else it would be said for ever not to be answered yet
            dropped = Refused(f"dropped by {by}, never sent", code=Code.DENIED, hint=hint if spawn else "").to_json()
            steers.answer(entry.tx, line.operation, dropped)
            if line.kind == Kind.SCHEDULE:
                schedules.stand(entry.tx, spawn, "refused", entry.now, dropped)

    def _changed(self, entry: Entry, line: OutboxLine, state: OutboxState | None) -> None:
        entry.event("outbox.changed", {"broker": line.recipient, "state": None if state is None else str(state)})

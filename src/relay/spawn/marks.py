"""What a person does with a spawn of this machine beside stopping it: marks, not states; and another attempt.

All of it happens inside one transaction, with the grant checked again where it may lead to a start.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from relay.core.errors import Code, Misuse, PeerFault
from relay.core.ids import BrokerId
from relay.core.spawning import SpawnRequest, first_bad_field, request_from_content
from relay.core.states import IN_HAND, TERMINAL, State
from relay.core.wishes import first_bad_wish
from relay.spawn.admission import Judge
from relay.spawn.agents.agent import terminal_of
from relay.spawn.agents.registry import Agents
from relay.spawn.asking import Asking
from relay.spawn.ledger import Ledger, Step
from relay.spawn.outcome import left_of
from relay.spawn.requests import request_of
from relay.spawn.succession import require_no_cycle
from relay.spawn.waiting_room import WaitingRoom
from relay.store import queueing, spawns
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow, stands

CHANGED = frozenset({"task", "argv", "cwd", "mode", "model", "timeout_s", "labels", "expires", "wishes"})
LONGEST_TTL = 30 * 86_400_000
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")  # nothing that a program could take for an option
KEPT_TASK = 1_000  # letters of an earlier task
WISHED = frozenset({"priority", "retries", "not_before", "after"})


def changed(row: SpawnRow, change: dict[str, Any]) -> SpawnRequest:
    """A spawn's request with some of its fields changed.

    Args:
        row: as it stands.
        change: fields of a `spawn` envelope's body; of `wishes` those that change.

    Raises:
        Misuse: a field cannot be changed, or not to that.
    """
    wishes = change.get("wishes", {})
    foreign = set(change) - CHANGED or (set(wishes) - WISHED if isinstance(wishes, dict) else {"wishes"})
    content = request_of(row).to_content()
    merged = content.get("wishes", {}) | (wishes if isinstance(wishes, dict) else {})
    merged = {name: value for name, value in merged.items() if value is not None}
    content |= {name: value for name, value in change.items() if name in CHANGED} | {"wishes": merged}
    bad = next(iter(sorted(foreign)), None) or first_bad_field(content) or first_bad_wish(merged)
    try:
        if bad is None:
            return request_from_content(content)
    except PeerFault as fault:
        bad = fault.why
    raise Misuse(f"the {bad} of a spawn cannot be changed to that", hint="relay edit --help")


FROZEN = ": a process that is frozen would hold its slot, its files and its links"


def has_started(row: SpawnRow, what: str) -> Misuse:
    """The error for what can be done only before a start."""
    if row.state in TERMINAL:
        return Misuse(
            f"{row.name} has ended; it cannot be {what} any more",
            code=Code.ALREADY_STARTED,
            why=f"it is {row.state}",
            hint=f"relay retry {row.id}",
        )
    return Misuse(
        f"{row.name} runs already; it cannot be {what}",
        code=Code.ALREADY_STARTED,
        why="only what has not started can be" + (FROZEN if what == "paused" else ""),
        hint=f"relay stop {row.id}",
    )


class Marks:
    """Carries out what a person wants of a spawn that runs here, or is to.

    Args:
        ledger: signs the steps.
        room: where spawns wait.
        judge: asked whether an edited spawn may start.
        asking: has a person asked again about what was changed.
        agents: what can be run.
        is_gone: whether the folder that a spawn had to itself is here no more.
    """

    def __init__(
        self,
        ledger: Ledger,
        room: WaitingRoom,
        judge: Judge,
        asking: Asking,
        agents: Agents,
        is_gone: Callable[[SpawnRow], bool],
    ) -> None:
        self._is_gone = is_gone
        self._agents = agents
        self._asking = asking
        self._ledger = ledger
        self._room = room
        self._judge = judge

    def apply(self, entry: Entry, row: SpawnRow, verb: str, content: dict[str, Any], by: str) -> SpawnRow:
        """Do what a verb says; the row as it is then. One that was not decided on yet is left to its admission.

        Raises:
            Misuse, Refused: it cannot be done; nothing was.
        """
        if verb == "pause":
            return self.pause(entry, row, by)
        if verb == "resume":
            return self.resume(entry, row)
        if verb == "edit":
            return self.edit(entry, row, content.get("change"))
        if verb == "continue":
            return self.go_on(entry, row, content.get("task"), by)
        if verb == "take":
            return self.take(entry, row, by)
        return self.retry(entry, row, by)

    def pause(self, entry: Entry, row: SpawnRow, by: str) -> SpawnRow:
        """Keep a spawn from starting until it is resumed."""
        if row.state in IN_HAND or row.state in TERMINAL:
            raise has_started(row, "paused")
        if row.paused is not None:
            return row
        queueing.pause(entry.tx, row.id, entry.now, by)
        return self._marked(entry, row, self._anew(entry, row))

    def resume(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Let a paused spawn start when its turn comes."""
        if row.state in TERMINAL:
            raise has_started(row, "resumed")
        if row.paused is None:
            return row
        queueing.resume(entry.tx, row.id)
        return self._marked(entry, row, self._anew(entry, row))

    def _marked(self, entry: Entry, row: SpawnRow, now: SpawnRow) -> SpawnRow:
        """Tell its origin of the mark where no other word does, as with a queue that rests as a whole."""
        if now.order != row.order or now.state not in (State.WAITING, State.HELD):
            return now
        return self._ledger.reword(entry, now, now.reason, now.needs)

    def edit(self, entry: Entry, row: SpawnRow, change: object) -> SpawnRow:
        """Change what is asked for, before it starts."""
        if row.state in IN_HAND or row.state in TERMINAL:
            raise has_started(row, "edited")
        if not isinstance(change, dict) or not change:
            raise Misuse("there is nothing to change", hint="relay edit --help")
        request = changed(row, change)
        wishes = change.get("wishes", {})
        if "after" in wishes:
            require_no_cycle(entry.tx, row.id, request.wishes.after)
        queueing.edit(entry.tx, request)
        if "not_before" in wishes:
            queueing.not_before(entry.tx, row.id, request.wishes.not_before)
        now = spawns.require(entry.tx, row.id)
        self._require_may_be(entry, now)
        self._room.ends_with(entry, now)
        if "after" in wishes:
            row = self._room.succession.arrived(entry, spawns.require(entry.tx, row.id))
        if row.state is State.HELD:
            return self._asking.hold_anew(entry, spawns.require(entry.tx, row.id))
        return row if row.state in TERMINAL else self._worded(entry, self._anew(entry, row))

    def _worded(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Tell its origin of a reason that differs in its numbers alone: these a person has changed."""
        now = spawns.require(entry.tx, row.id)
        is_told = now.state is not State.WAITING or now.reason == row.reason
        return now if is_told else self._ledger.reword(entry, now, now.reason)

    def _require_may_be(self, entry: Entry, row: SpawnRow) -> None:
        """Refuse a change that would end the spawn; one that needs another yes of a person is held for it."""
        if row.state not in (State.WAITING, State.HELD):
            return
        admission = self._judge(entry, dataclasses.replace(row, state=State.DELIVERED))
        if admission.refusal is not None:
            raise admission.refusal
        # a person's yes was to the request as it was
        error = self._asking.too_many(entry, row) if admission.held and row.state is State.WAITING else None
        if error is not None:
            raise error

    def retry(self, entry: Entry, row: SpawnRow, by: str) -> SpawnRow:
        """Have a spawn that has ended run once more: another attempt, the earlier ones kept.

        Raises:
            Misuse: `not_ended`, or `name_in_use`: a newer spawn has its name; or `place_gone`: it cannot begin again.
        """
        onward = queueing.ONWARD.one(entry.tx, spawn=row.id)
        if onward is not None or (row.wishes.place is not None and row.wishes.place.tree is not None):
            self._require_place(row)
        kept = {} if onward is None else {queueing.SESSION_KEY: onward.session}
        return self._again(entry, self._without_interface(entry, row, onward), by, f"{by} asked for it again", kept)

    def go_on(self, entry: Entry, row: SpawnRow, task: object, by: str) -> SpawnRow:
        """Have the agent of a spawn that has ended go on in its session, with another task: another attempt.

        Raises:
            Misuse: `not_ended`, `name_in_use`, `no_session`: its agent named none, or `place_gone`.
        """
        if row.state not in TERMINAL:
            raise not_ended(row, row.target)
        session = session_of(row)
        self._require_place(row)
        row = self._without_interface(entry, row, queueing.ONWARD.one(entry.tx, spawn=row.id))
        queueing.edit(entry.tx, changed(row, {"task": task}))
        kept = {queueing.SESSION_KEY: session, "task": row.task[:KEPT_TASK]}
        return self._again(entry, row, by, f"{by} had it go on", kept)

    def take(self, entry: Entry, row: SpawnRow, by: str) -> SpawnRow:
        """Open the agent of a spawn that has ended in its own interface, in its session: another attempt.

        Where somebody has it open already nothing is done: who wants it too attaches to it.

        Raises:
            Misuse: as `go_on`, or its agent has no such interface.
        """
        # first: what cannot be taken over is not to be ended for it
        terminal_of(self._agents.get(row.agent), request_of(row), "")
        onward = queueing.ONWARD.one(entry.tx, spawn=row.id)
        if row.state not in TERMINAL and onward is not None and onward.terminal:
            return row
        if row.state not in TERMINAL:
            raise not_ended(row, row.target)
        session = session_of(row)
        self._require_place(row)
        queueing.edit(entry.tx, _with_terminal(row, True))
        kept = {queueing.SESSION_KEY: session, queueing.TERMINAL_KEY: True}
        return self._again(entry, row, by, f"{by} takes it over", kept)

    def _require_place(self, row: SpawnRow) -> None:
        """Refuse another attempt where the work of the earlier ones is not: what they left would be gone unsaid."""
        if row.state not in TERMINAL or not self._is_gone(row):
            return
        raise Misuse(
            f"the folder that {row.name} worked in is not there any more",
            code=Code.PLACE_GONE,
            why="it was removed there, or never made; what came back of it can still be pulled",
            hint=f"relay pull {row.id}, then spawn it anew",
        )

    def _without_interface(self, entry: Entry, row: SpawnRow, onward: queueing.Onward | None) -> SpawnRow:
        """A spawn that had a terminal only because somebody had taken it over has none any more."""
        if onward is None or not onward.terminal:
            return row
        queueing.edit(entry.tx, _with_terminal(row, False))
        return spawns.require(entry.tx, row.id)

    def _again(self, entry: Entry, row: SpawnRow, by: str, reason: str, kept: dict[str, Any]) -> SpawnRow:
        """Another attempt of what has ended; `kept` goes to what is remembered of the one before."""
        if row.state not in TERMINAL:
            raise not_ended(row, row.target)
        spawns.require_free_name(entry.tx, row.name, row.target, row.target)
        how = queueing.outcome_of_row(row) | kept
        left = left_of(row.result)
        queueing.keep_try(
            entry.tx, row.id, row.attempt, by or "somebody", how | ({queueing.LEFT_KEY: left} if left else {})
        )
        spawns.clear_stop(entry.tx, row.id)
        queueing.resume(entry.tx, row.id)
        at_once(entry, spawns.require(entry.tx, row.id))
        queueing.prolong(entry.tx, row.id, max(row.expires, entry.now + min(row.expires - row.created, LONGEST_TTL)))
        tried = {"n": row.attempt, "asked": (by or "somebody")[:100], "outcome": how}
        fresh = spawns.require(entry.tx, row.id)
        again = self._ledger.step(entry, fresh, Step(State.WAITING, reason, tried=tried))
        if again.wishes.after:
            again = self._room.succession.arrived(entry, again)
        return again if again.state in TERMINAL else self._anew(entry, again)

    def tell(self, entry: Entry, spawn: str) -> None:
        """Tell the origin the latest word on a spawn now, where it would be told in a moment."""
        self._ledger.tell_latest(entry, spawns.require(entry.tx, spawn))
        entry.then(lambda: self._room.telling.overtaken(spawn))

    def _anew(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        now = spawns.require(entry.tx, row.id)
        return self._room.consider(entry, now) if now.state is State.WAITING else now


def _with_terminal(row: SpawnRow, tty: bool) -> SpawnRequest:
    return dataclasses.replace(request_of(row), wishes=dataclasses.replace(row.wishes, tty=tty))


def session_of(row: SpawnRow) -> str:
    """The agent's session in which a spawn can go on.

    Raises:
        Misuse: `no_session`.
    """
    session = (row.result or {}).get("session")
    if isinstance(session, str) and _SESSION.match(session):
        return session
    raise Misuse(
        f"{row.name} has no session to go on in",
        code=Code.NO_SESSION,
        why=f"its agent, {row.agent}, named none" if row.attempt else "it never ran",
        hint=f"relay retry {row.id}   runs it anew",
    )


def not_ended(row: SpawnRow, own: BrokerId) -> Misuse:
    """The error for a retry of what lives, as this broker says it."""
    what, why = f"{row.name} has not ended", stands(row, own)
    return Misuse(what, code=Code.NOT_ENDED, why=why, hint=f"relay stop {row.id}")


def at_once(entry: Entry, row: SpawnRow) -> None:
    """Another attempt by hand waits for no moment, be it the one that was asked for at first."""
    queueing.not_before(entry.tx, row.id, None)
    if row.wishes.not_before is not None:
        apply_change(entry, row, {"wishes": {"not_before": None}})


def apply_change(entry: Entry, row: SpawnRow, change: dict[str, Any]) -> None:
    """Bring an origin's copy to what its target said it did.

    Raises:
        Misuse: the change cannot be.
    """
    request = changed(row, change)
    queueing.edit(entry.tx, request)
    if "not_before" in change.get("wishes", {}):
        queueing.not_before(entry.tx, row.id, request.wishes.not_before)
    if "after" in change.get("wishes", {}):
        queueing.put_after(entry.tx, row.id, request.wishes.after)

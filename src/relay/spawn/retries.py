"""Whether another attempt follows a failed one, decided in the transaction that writes the failure down."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from relay.core.errors import Code
from relay.core.ids import BrokerId
from relay.core.retrying import may_retry, pause_ms
from relay.core.states import State
from relay.core.wishes import LIMIT_WAITS
from relay.spawn.ledger import Step
from relay.spawn.outcome import Outcome, left_of
from relay.spawn.queue import moment_words
from relay.store import queueing
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

LIMIT = "limit"  # who asked for the next attempt: the wish --on-limit wait
LOOK_AGAIN_MS = 30 * 60_000  # where the agent did not say when its limit is lifted
SOONEST_MS = 10_000


def next_attempt(
    entry: Entry, row: SpawnRow, outcome: Outcome, may_expire: bool = True
) -> tuple[Step, int] | None:
    """The step to another attempt and the moment before which it does not start, or None.

    What a person stopped, what another attempt cannot mend, and what would start after its time to live ends.

    Args:
        entry: the transaction.
        row: as it stands while the attempt is in hand.
        outcome: how that ended.
        may_expire: whether this clock is believed, so that a time to live may be over by it.
    """
    code = str((outcome.error or {}).get("code", ""))
    if code == Code.AGENT_USAGE_LIMIT and row.wishes.on_limit == LIMIT_WAITS and row.stop_requested is None:
        return _after_the_limit(entry, row, outcome, may_expire)
    if not row.wishes.retries or row.stop_requested is not None or not may_retry(outcome.state, code):
        return None
    onward = queueing.ONWARD.one(entry.tx, spawn=row.id)
    if onward is not None and onward.terminal:
        return None  # a person had it open, and would find it open again with nobody there
    used = (queueing.RETRIES_USED.one(entry.tx, spawn=row.id) or 0) + 1
    moment = entry.now + pause_ms(used, random.random())  # noqa: S311 - jitter is no secret
    if used > row.wishes.retries or (moment >= row.expires and may_expire):
        return None
    how = _how_it_ended(outcome, entry.now)
    queueing.keep_try(entry.tx, row.id, row.attempt, "", how | _left(outcome))
    queueing.not_before(entry.tx, row.id, moment)
    words = moment_words(moment, used, row.wishes.retries, entry.now)
    return Step(State.WAITING, words, tried={"n": row.attempt, "asked": "", "outcome": how}), moment


def last_end(entry: Entry, row: SpawnRow, outcome: Outcome, may_expire: bool = True) -> Outcome:
    """An end after which no other attempt follows; where retries are left it says why none of them is made.

    Args:
        entry: the transaction.
        row: as it stands while the attempt is in hand.
        outcome: how that ended.
        may_expire: as for `next_attempt`.
    """
    used = queueing.RETRIES_USED.one(entry.tx, spawn=row.id) or 0
    if used >= row.wishes.retries or row.stop_requested is not None or outcome.result is None:
        return outcome
    why = "it may have acted" if outcome.state is State.LOST else "another attempt cannot mend it"
    if may_retry(outcome.state, str((outcome.error or {}).get("code", ""))):
        if not may_expire or row.expires > entry.now + pause_ms(used + 1, 1.0):
            return outcome  # a person had it open
        why = "it would start after its time to live (--ttl)"
    elif outcome.state not in (State.FAILED, State.LOST):
        return outcome
    note = f"no retry {used + 1} of {row.wishes.retries}: {why}"
    return replace(outcome, result=outcome.result | {"notes": [*outcome.result.get("notes", ()), note]})


def put_off_too_long(entry: Entry, own: BrokerId) -> list[str]:
    """Have what waits for a retry wait no longer than a retry may: its moment was found by a clock that was ahead.

    Args:
        entry: the transaction.
        own: this broker's id.

    Returns:
        The spawns that wait less long now.
    """
    found: list[str] = []
    for row in queueing.TRIED_LATER.all(entry.tx, target=own, moment=entry.now + pause_ms(1, 1.0)):
        used = queueing.RETRIES_USED.one(entry.tx, spawn=row.id) or 0
        if not used or row.not_before == row.wishes.not_before:
            continue  # a person named the moment, or the agent: that of its usage limit
        latest = entry.now + pause_ms(used, 1.0)
        if (row.not_before or 0) > latest:
            queueing.not_before(entry.tx, row.id, latest)
            found.append(row.id)
    return found


def _after_the_limit(
    entry: Entry, row: SpawnRow, outcome: Outcome, may_expire: bool
) -> tuple[Step, int] | None:
    """The step to another attempt once a usage limit is lifted, in the same session; none of the spawn's retries."""
    moment = max(outcome.resets or entry.now + LOOK_AGAIN_MS, entry.now + SOONEST_MS)
    if moment >= row.expires and may_expire:
        return None
    how = _how_it_ended(outcome, entry.now)
    if session := (outcome.result or {}).get("session"):
        how[queueing.SESSION_KEY] = session
    queueing.keep_try(entry.tx, row.id, row.attempt, LIMIT, how | _left(outcome))
    queueing.not_before(entry.tx, row.id, moment)
    words = f"the usage limit of its agent is reached; {moment_words(moment, 0, 0, entry.now)}"
    return Step(State.WAITING, words, tried={"n": row.attempt, "asked": LIMIT, "outcome": how}), moment


def _left(outcome: Outcome) -> dict[str, Any]:
    left = left_of(outcome.result)
    return {queueing.LEFT_KEY: left} if left else {}


def _how_it_ended(outcome: Outcome, now: int) -> dict[str, Any]:
    return {
        "state": str(outcome.state),
        "reason": outcome.reason[:1000],
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "started": outcome.started,
        "ended": outcome.ended or now,
        "error": outcome.error,
    }

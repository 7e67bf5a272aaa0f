"""Honest words: what a person is told of a spawn and of a broker. Presence words it; it decides nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from relay.api.durations import rounded, spoken
from relay.core.field_checks import MAX_MOMENT
from relay.core.queue_words import paused
from relay.core.states import TERMINAL, State
from relay.store.spawn_rows import SpawnRow


def rfc3339(ms: int | None) -> str | None:
    """A time as the contract writes it: UTC with milliseconds; None stays None, what no calendar holds its last day."""
    if ms is None:
        return None
    ms = min(ms, MAX_MOMENT)
    # not strftime, which looks at the machine's time zone file each time; whole seconds, so that nothing is rounded
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{ms % 1000:03d}Z"


def named(name: str, why: str) -> str:
    """A reason with the broker whose it is, once: the words for who is away begin with the name."""
    return why if why.startswith(f"{name} ") else f"{name}: {why}"


def ago(ms: int) -> str:
    """How long ago, in one unit, rounded: `40 s ago`, `3 h ago`."""
    seconds = max(ms, 0) / 1000
    return f"{spoken(seconds) if seconds >= 10 else f'{rounded(seconds)} s'} ago"


def acknowledgement(row: SpawnRow, target: str, absence: str, keeper: str = "", refusal: str = "") -> str:
    """One true line on where a spawn stands.

    Args:
        row: the spawn.
        target: the name of the broker that runs it.
        absence: why it waits for that broker; empty where that is this one, or in reach now.
        keeper: the name of the broker that keeps it for that one; empty where none is known to.
        refusal: which broker in between would not keep it, and why; empty where none is known to.
    """
    if row.stop_requested and row.state not in TERMINAL:
        return f"Stop queued: {absence}." if absence else f"Being stopped on {target}."
    if row.state is State.QUEUED:
        if row.paused is not None:
            return f"Paused by {row.paused_by or 'somebody'}; {absence or f'on its way to {target}'}."
        if not absence and keeper:
            return f"Queued: {keeper} keeps it for {target}, and hands it over."
        if not absence and refusal:
            return f"Queued: {refusal}; it is asked again by itself."
        if not absence:
            return f"Sent to {target}; {row.reason.rstrip('.') or 'no word yet'}."
        if row.expires <= time.time() * 1000:
            return f"Queued: {absence}; its time is over, so that it ends as expired when {target} is back."
        if refusal and not keeper:
            return f"Queued: {absence}; {refusal}."
        kept = f"{keeper} keeps it, and " if keeper else ""
        return f"Queued: {absence}; {kept}it starts when {target} is back."
    return _told(row, target)


def reason(row: SpawnRow, target: str, absence: str) -> str:
    """Why a spawn stands where it does; of one that its target has not taken yet, what a person has marked it with too.

    Args:
        row: the spawn.
        target, absence: as for `acknowledgement`.
    """
    if row.state is not State.QUEUED:
        return row.reason
    mark = paused(row.paused_by or "somebody") if row.paused is not None else ""
    mark = "its stop is queued" if row.stop_requested else mark
    return "; ".join(filter(None, (mark, row.reason or absence or f"sent to {target}, no word yet")))


_PHRASES: dict[State, str] = {
    State.DELIVERED: "{target} has it and has not said more yet.",
    State.HELD: "Held on {target}: {reason}.",
    State.WAITING: "Waiting on {target}: {reason}.",
    State.STARTING: "Starting on {target}.",
    State.RUNNING: "Started on {target}.",
    State.NEEDS_INPUT: "Needs you on {target}: {reason}.",
    State.COMPLETED: "Done on {target}.",
    State.FAILED: "Failed on {target}: {reason}.",
    State.TIMED_OUT: "Timed out on {target}: {reason}.",
    State.CANCELLED: "Stopped: {reason}.",
    State.REJECTED: "Refused by {target}: {reason}.",
    State.EXPIRED: "Expired: {reason}.",
    State.LOST: "Lost on {target}: {reason}.",
}


def _told(row: SpawnRow, target: str) -> str:
    reason = row.reason.rstrip(".") or "no reason was given"
    told = _PHRASES[row.state].format(target=target, reason=reason)
    return told.removesuffix(".") if reason.endswith("?") else told

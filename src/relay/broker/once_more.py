"""A stop of what has ended and was asked for once more: what its target has not answered yet is not to run.

    retry, continue ─ never sent ─► taken back here
                    └ maybe sent ─► a stop follows it, in its order
"""

from __future__ import annotations

from relay.broker.outbox import Outbox
from relay.broker.steer_taking import AFTER_ITS_END
from relay.core.errors import Code, Refused
from relay.core.kinds import Kind
from relay.store import outbox, steers
from relay.store.journal import Entry
from relay.store.outbox import OutboxLine
from relay.store.steers import Steer


def wanted(unanswered: list[Steer]) -> list[Steer]:
    """Those of what a target has not answered that would begin another attempt."""
    return [each for each in unanswered if each.verb in AFTER_ITS_END]


def asked(entry: Entry, spawn: str) -> set[str]:
    """The operations by which another attempt was asked for, and is not answered."""
    return {each.operation for each in wanted(steers.UNANSWERED.all(entry.tx, spawn=spawn))}


def is_to_be_stopped(entry: Entry, rows: Outbox, spawn: str, by: str) -> bool:
    """Take back what was asked for of a spawn that has ended; whether its target has to be told to stop it instead.

    Args:
        entry: the transaction.
        rows: the outbox.
        spawn: which.
        by: who stops it, for the words.
    """
    operations = asked(entry, spawn)
    if not operations:
        return False
    lines = outbox.BY_SPAWN.all(entry.tx, spawn=spawn)
    mine = [line for line in lines if line.kind == Kind.STEER and line.operation in operations]
    if len(mine) < len(operations) or not rows.withdraw(entry, mine):
        # one that stands before what it is to stop was for an earlier attempt; of what is gone nobody can tell
        return len(mine) < len(operations) or not _are_stopped(lines, mine[-1])
    error = Refused(f"taken back by {by}, never sent", code=Code.DENIED, hint=f"relay retry {spawn}")
    for operation in operations:
        steers.answer(entry.tx, operation, error.to_json())
    return False


def is_under_way(entry: Entry, spawn: str) -> bool:
    """Whether a stop of a spawn is still on its way; what is live after one was taken is another attempt."""
    return any(line.kind == Kind.STOP for line in outbox.BY_SPAWN.all(entry.tx, spawn=spawn))


def _are_stopped(lines: list[OutboxLine], last: OutboxLine) -> bool:
    return any(line.kind == Kind.STOP and line.n > last.n for line in lines)

"""How much a member without a grant may ask: what is over it is refused before anything is stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from relay.broker.auditor import REFUSED, Auditor, Decision
from relay.broker.inbox import Opened
from relay.broker.link import monotonic_ms
from relay.core.errors import Code, LocalFault, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.rationing import Bucket
from relay.store import inbox
from relay.store.engine import Store
from relay.store.journal import Entry

AT_ONCE = 60  # what a person's slips make at most; of each refusal up to 2 KiB of rows stay for a month
PER_SECOND = 0.5
A_DAY = 1_000
_DAY_S = 86_400
_VERBS: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys((Kind.SPAWN, Kind.SCHEDULE), ("spawn",)),
    **dict.fromkeys((Kind.STOP, Kind.STEER), ("spawn", "stop")),
    Kind.ANSWER: ("spawn", "send", "approve"),
    **dict.fromkeys((Kind.TOOL_CALL, Kind.TOOL_STOP), ("tool",)),
    Kind.BLOB_OFFER: ("push",),
    Kind.NOTIFY_ASK: ("notify",),
}
"""By any of which an origin may ask for what is of this kind."""
MOST_UNANSWERED = 100  # answers that wait for a broker without a grant; who takes none is given no more


class Rationing:
    """Two buckets for each origin that may not ask for what it asks here. Origins are members, so that there are few.

    What was taken in before, and comes again because its receipt was lost, is no new request: it counts for nothing.

    Args:
        may: whether an origin has a verb here.
        auditor: told once a minute of what was refused.
        store: knows what was taken in.
    """

    def __init__(
        self,
        may: Callable[[BrokerId, str], bool],
        auditor: Auditor,
        store: Store,
    ) -> None:
        self._store = store
        self._may = may
        self._unanswered: dict[BrokerId, int] = {}
        self._auditor = auditor
        self._buckets: dict[BrokerId, tuple[Bucket, Bucket]] = {}
        self._refused: dict[BrokerId, int] = {}

    async def refusal(self, each: Opened) -> RelayError | None:
        """Why an envelope is over its origin's ration, or None."""
        origin = each.header.origin
        verbs = _VERBS.get(each.kind)
        if verbs is None or any(self._may(origin, verb) for verb in verbs) or await self._was_taken(each):
            return None
        if self._unanswered.get(origin, 0) < MOST_UNANSWERED and self._has_left(origin):
            return None
        self._count(origin)
        return Refused(
            "too many requests without a grant",
            code=Code.RATE_LIMITED,
            why=f"a broker without a grant may ask {AT_ONCE} times at once, then once in {1 / PER_SECOND:.0f} s,"
            f" and {A_DAY} times a day",
            hint="on that machine: relay trust allow BROKER",
        )

    def may_be_written(self, origin: BrokerId) -> bool:
        """Whether a refusal of what is live is written down by itself; else it is counted with the others."""
        if self._has_left(origin):
            return True
        self._count(origin)
        return False

    def _has_left(self, origin: BrokerId) -> bool:
        if origin not in self._buckets:
            self._buckets[origin] = (Bucket(AT_ONCE, PER_SECOND), Bucket(A_DAY, A_DAY / _DAY_S))
        at_once, a_day = self._buckets[origin]
        now = monotonic_ms()
        return at_once.take(now) and a_day.take(now)

    def _count(self, origin: BrokerId) -> None:
        self._refused[origin] = self._refused.get(origin, 0) + 1

    async def _was_taken(self, each: Opened) -> bool:
        with contextlib.suppress(LocalFault):  # a store that cannot be read now takes nothing in either
            known = await self._store.one(inbox.DIGEST, origin=each.header.origin, id=each.header.id)
            return known == each.envelope.digest
        return False

    def note_waiting(self, waiting: Iterable[tuple[BrokerId, int]]) -> None:
        """How much waits in the outbox for each broker, looked at once a minute."""
        self._unanswered = dict(waiting)

    @property
    def has_refused(self) -> bool:
        """Whether there is something to write down."""
        return bool(self._refused)

    def write_down(self, entry: Entry) -> None:
        """One audit entry for each origin that was refused since the last call, with the count."""
        refused, self._refused = self._refused, {}
        for origin, count in refused.items():
            detail = f"{count} more requests were refused: over the ration, unread, or not written down one by one"
            self._auditor.write(entry, Decision(origin, "spawn", REFUSED, Code.RATE_LIMITED, detail))

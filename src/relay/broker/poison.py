"""What fails here: counted over restarts, refused after five tries, shown in `relay outbox` as incoming.

Only faults of our own code count, which come again with the same envelope. This machine's trouble (a full disk, a
store that cannot be written, no more files) passes, and is never held against an envelope.
"""

from __future__ import annotations

import errno
import logging

from relay.core.envelope import Header
from relay.core.errors import NO_ROOM, Code, LocalFault, PeerFault, RelayError
from relay.core.ids import BrokerId, short
from relay.store import refusals
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.query import DatabaseFault, ValueFault

MAX_POISON = 5
MAX_REASON = 500
MAX_FAILING = 10_000
_PASSING = NO_ROOM | {errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ESTALE}
_log = logging.getLogger(__name__)


def trouble_of_ours(error: Exception) -> Exception | None:
    """What to raise where an error is this machine's trouble and no fault of an envelope; None where it counts."""
    if isinstance(error, LocalFault | MemoryError):
        return error
    if isinstance(error, DatabaseFault):
        return None if isinstance(error, ValueFault) else error
    if isinstance(error, OSError) and error.errno in _PASSING:
        code = Code.DISK_FULL if error.errno in NO_ROOM else Code.STORE_FAULT
        return LocalFault(
            "this machine cannot take envelopes in now",
            code=code,
            why=error.strerror or str(error),
            hint="free some space" if error.errno in NO_ROOM else "relay doctor",
        )
    return None


class Poison:
    """Remembers what was not taken in.

    Args:
        store: where it is remembered.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failing: set[tuple[BrokerId, bytes]] = set()

    async def open(self) -> None:
        """Read what an earlier run failed at."""
        self._failing = {(each.origin, each.id) for each in await self._store.all(refusals.FAILING)}

    def failed(self, entry: Entry, header: Header, error: Exception) -> RelayError | None:
        """A fault of ours with an envelope; the refusal where it was the last try.

        Args:
            entry: the transaction that goes on without it.
            header: whose it is.
            error: what our code raised.
        """
        _log.error("%s from %s failed", header.kind, short(header.origin), exc_info=error)
        what = f"it failed here: {type(error).__name__}"
        tries = refusals.failed(entry.tx, header.origin, header.id, header.kind, what, entry.now)
        if len(self._failing) >= MAX_FAILING:
            self._failing.clear()
        self._failing.add((header.origin, header.id))
        if tries < MAX_POISON:
            return None
        return PeerFault(
            "an envelope was refused",
            code=Code.POISON,
            why=f"it failed here {tries} times: {type(error).__name__}; broker.log there says more",
        )

    def taken(self, entry: Entry, header: Header) -> None:
        """An envelope was taken in; what was held against it is forgotten."""
        if self._failing and (header.origin, header.id) in self._failing:
            refusals.taken(entry.tx, header.origin, header.id)

    def refused(self, header: Header, error: RelayError, now: int) -> None:
        """An envelope was refused for good: keep what is shown of it, with the next commit."""
        reason = f"{error.code}: {error.why or error.message}"[:MAX_REASON]
        self._store.write_lazily(
            lambda tx: refusals.refused(tx, header.origin, header.id, header.kind, reason, now)
        )

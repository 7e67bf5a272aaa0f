"""The audit log's rows. The hash chain is the trust room's: here an entry is bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from relay.core.values import frozen
from relay.store.query import Query, Tx, mapper

GENESIS = bytes(32)  # what the first entry is chained to

MakeEntry: TypeAlias = Callable[[int, bytes], tuple[bytes, bytes]]


@frozen
class AuditRow:
    """One entry: its number from 1, when (milliseconds), its bytes and the hash (32 bytes) of chain and entry."""

    seq: int
    at: int
    entry: bytes
    hash: bytes


@frozen
class AuditHead:
    """The newest entry's number and hash."""

    seq: int
    hash: bytes


NONE = AuditHead(0, GENESIS)
_SELECT = "SELECT seq, at, entry, hash FROM audit"
_row = mapper(AuditRow)

SINCE: Query[AuditRow] = Query(f"{_SELECT} WHERE seq > :seq ORDER BY seq LIMIT :limit", _row)
NEWEST: Query[AuditRow] = Query(f"{_SELECT} ORDER BY seq DESC LIMIT :limit", _row)
HEAD: Query[AuditHead] = Query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", mapper(AuditHead))


def append(tx: Tx, at: int, head: AuditHead, make_entry: MakeEntry) -> AuditHead:
    """Add an entry to the chain; the new head.

    Args:
        at: milliseconds.
        head: the newest entry, as this transaction sees it; `NONE` before the first.
        make_entry: from the entry's number and the hash before it (`GENESIS` for the first), the entry's bytes
            and its hash.
    """
    seq = head.seq + 1
    entry, digest = make_entry(seq, head.hash)
    tx.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (seq, at, entry, digest))
    return AuditHead(seq, digest)

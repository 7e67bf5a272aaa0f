"""Peer records as they were signed, one a member, and the names that members have on this machine alone."""

from __future__ import annotations

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, insertion, mapper


@frozen
class RecordRow:
    """One record.

    Attributes:
        incarnation, seq, expires: from inside, for looking at without decoding.
        heard: when it was taken in, milliseconds since 1970.
        bytes: the signed block.
    """

    broker: BrokerId
    incarnation: int
    seq: int
    expires: int
    heard: int
    bytes: bytes


_NAMES = ("broker", "incarnation", "seq", "expires", "heard", "bytes")
_SELECT = f"SELECT {columns(RecordRow)} FROM records"
_row = mapper(RecordRow)
_PUT = f"""{insertion("records", _NAMES)} ON CONFLICT (broker) DO UPDATE SET
    incarnation = excluded.incarnation, seq = excluded.seq, expires = excluded.expires, heard = excluded.heard,
    bytes = excluded.bytes
    WHERE (excluded.incarnation, excluded.seq) > (incarnation, seq)"""

ALL: Query[RecordRow] = Query(f"{_SELECT} ORDER BY broker", _row)
ALIASES: Query[tuple[BrokerId, str]] = Query(
    "SELECT broker, alias FROM aliases ORDER BY broker", lambda row: (BrokerId(row[0]), str(row[1]))
)


def put(tx: Tx, row: RecordRow) -> bool:
    """Keep a record unless one as new is kept already; whether it was."""
    return tx.execute(_PUT, {name: getattr(row, name) for name in _NAMES}).rowcount > 0


def forget(tx: Tx, broker: BrokerId) -> bool:
    """Delete a member's record; whether there was one."""
    return tx.execute("DELETE FROM records WHERE broker = ?", (broker,)).rowcount > 0


def purge(tx: Tx, now: int) -> int:
    """Delete what has expired; how many."""
    return tx.execute("DELETE FROM records WHERE expires <= ?", (now,)).rowcount


def rename(tx: Tx, broker: BrokerId, alias: str | None) -> None:
    """Call a member by another name on this machine; None for the roster's."""
    tx.execute("DELETE FROM aliases WHERE broker = ? OR alias = ?", (broker, alias))
    if alias is not None:
        tx.execute("INSERT INTO aliases VALUES (?, ?)", (broker, alias))

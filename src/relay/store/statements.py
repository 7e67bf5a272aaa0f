"""The roster's signed statements, as they were signed. What they mean is folded in `core`."""

from __future__ import annotations

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, mapper


@frozen
class StatementRow:
    """One statement: its hash (32 bytes), its place in its signer's chain, and its bytes."""

    hash: bytes
    signer: BrokerId
    seq: int
    bytes: bytes


_SELECT = f"SELECT {columns(StatementRow)} FROM statements"
_row = mapper(StatementRow)

ALL: Query[StatementRow] = Query(f"{_SELECT} ORDER BY signer, seq, hash", _row)
BY_SIGNER: Query[StatementRow] = Query(f"{_SELECT} WHERE signer = :signer ORDER BY seq, hash", _row)
BY_HASH: Query[StatementRow] = Query(f"{_SELECT} WHERE hash = :hash", _row)


def add(tx: Tx, row: StatementRow) -> bool:
    """Keep a statement; False where it was here already."""
    values = (row.hash, row.signer, row.seq, row.bytes)
    return tx.execute("INSERT OR IGNORE INTO statements VALUES (?, ?, ?, ?)", values).rowcount > 0


def clear(tx: Tx) -> None:
    """Forget the roster: this broker leaves an empty workspace for another."""
    tx.execute("DELETE FROM statements")

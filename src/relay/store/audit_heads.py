"""The ends of audit logs that brokers told each other: of a peer's log here, and of this broker's there."""

from __future__ import annotations

import dataclasses

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, insertion, mapper


@frozen
class AuditHeads:
    """What is known between this broker and one peer. Hashes are 32 bytes, a proof 64 or empty; 0 for no entry.

    Attributes:
        peer: which.
        seq, hash, proof: the highest end of its log that was heard, signed by it.
        cut: when it was found to have that end no longer, milliseconds; None where it has.
        held_seq, held_hash: the end of this broker's log that it holds, signed by this broker.
    """

    peer: BrokerId
    seq: int = 0
    hash: bytes = b""
    proof: bytes = b""
    cut: int | None = None
    held_seq: int = 0
    held_hash: bytes = b""


_FIELDS = tuple(item.name for item in dataclasses.fields(AuditHeads))
_UPSERT = insertion("audit_heads", _FIELDS).replace("INSERT", "INSERT OR REPLACE", 1)

ALL: Query[AuditHeads] = Query(f"SELECT {columns(AuditHeads)} FROM audit_heads ORDER BY peer", mapper(AuditHeads))
HASH_AT: Query[bytes] = Query("SELECT hash FROM audit WHERE seq = :seq", lambda row: bytes(row[0]))


def put(tx: Tx, heads: AuditHeads) -> None:
    """Write the whole row, new or not."""
    tx.execute(_UPSERT, {name: getattr(heads, name) for name in _FIELDS})


def forget(tx: Tx, peer: BrokerId) -> None:
    """Delete what is known between this broker and that one."""
    tx.execute("DELETE FROM audit_heads WHERE peer = ?", (peer,))

"""The table of the ends of audit logs, as brokers told them to each other. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_12 = """
-- of a peer's log: the highest end that was heard, signed by it, and since when it no longer has it (milliseconds)
-- of this broker's own log: the end that the peer holds of it
CREATE TABLE audit_heads (
    peer TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    proof BLOB NOT NULL,
    cut INTEGER,
    held_seq INTEGER NOT NULL,
    held_hash BLOB NOT NULL
) WITHOUT ROWID, STRICT;
"""

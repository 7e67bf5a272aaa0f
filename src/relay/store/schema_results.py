"""The schema, continued: what is kept of a spawn's output and files. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_8 = """
-- the end of a transcript: at the origin as it was told, at the target until it is told; pieces as on the wire
DROP TABLE tails;
CREATE TABLE tails (
    spawn TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    end INTEGER NOT NULL,
    pieces BLOB NOT NULL
) WITHOUT ROWID, STRICT;

-- seconds in each phase, as JSON, written down before the words that tell of them are forgotten
CREATE TABLE durations (
    spawn TEXT PRIMARY KEY,
    seconds TEXT NOT NULL
) WITHOUT ROWID, STRICT;

-- what is kept for a spawn is let go with its row
CREATE INDEX blob_references_for ON blob_references (operation) WHERE operation <> '' AND need <> 'offer';
CREATE INDEX blob_references_pins ON blob_references (peer) WHERE need = 'pin';
"""

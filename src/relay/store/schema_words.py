"""The schema, continued: signed words in the order of their coming. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_17 = """
-- a word is half a kilobyte and more: as the row of its key a few filled a page, and a node of the tree above as well,
-- so that each new one went to another place of the file; by number it goes to the end
ALTER TABLE snapshots RENAME TO snapshots_by_key;
CREATE TABLE snapshots (
    spawn TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    signature BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (spawn, attempt, seq)
) STRICT;
INSERT INTO snapshots SELECT * FROM snapshots_by_key;
DROP TABLE snapshots_by_key;
"""

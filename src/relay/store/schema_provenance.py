"""The table of what spawns were caused by spawns. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_11 = """
-- what a spawn was caused by: at its origin the parent is one of this broker's, at its target another's
CREATE TABLE provenance (
    spawn TEXT PRIMARY KEY,
    parent TEXT NOT NULL,
    links BLOB NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX provenance_parent ON provenance (parent);
"""

"""The schema, continued: what running things well takes. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_7 = """
-- how a spawn is to be queued and run, as JSON; what the queue looks at has a column of its own
ALTER TABLE spawns ADD COLUMN wishes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE spawns ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spawns ADD COLUMN not_before INTEGER;
ALTER TABLE spawns ADD COLUMN paused INTEGER;
ALTER TABLE spawns ADD COLUMN resolved TEXT;
"""

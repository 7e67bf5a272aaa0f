"""The schema, continued: what running things well takes. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_7 = """
-- how a spawn is to be queued and run, as JSON; what the queue looks at has a column of its own
ALTER TABLE spawns ADD COLUMN wishes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE spawns ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spawns ADD COLUMN not_before INTEGER;
ALTER TABLE spawns ADD COLUMN paused INTEGER;
ALTER TABLE spawns ADD COLUMN resolved TEXT;

-- what persons are asked about spawns that run here; the answer stands in the same row
CREATE TABLE questions (
    request TEXT PRIMARY KEY CHECK (length(request) = 16),
    spawn TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('held', 'silent', 'permission', 'question')),
    name TEXT,
    mode TEXT,
    hash TEXT NOT NULL,
    log_bytes INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    expires INTEGER,
    closed INTEGER,
    closed_as TEXT CHECK (closed_as IN ('approve', 'deny', 'send', 'withdrawn', 'ended')),
    closed_by TEXT,
    person TEXT NOT NULL,
    tool TEXT,
    text TEXT NOT NULL,
    input TEXT,
    answer TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX questions_spawn ON questions (spawn, asked);
CREATE INDEX questions_open ON questions (asked) WHERE closed IS NULL;
-- an agent's output is read again after a restart: what it asked is asked once
CREATE UNIQUE INDEX questions_name ON questions (spawn, attempt, name) WHERE name IS NOT NULL;

-- what is typed into running tasks: numbered, so that the shim takes each once
CREATE TABLE inputs (
    spawn TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    n INTEGER NOT NULL CHECK (n > 0),
    at INTEGER NOT NULL,
    fed INTEGER,
    data BLOB NOT NULL,
    PRIMARY KEY (spawn, attempt, n)
) WITHOUT ROWID, STRICT;
CREATE INDEX inputs_unfed ON inputs (spawn) WHERE fed IS NULL;

-- what was answered here about spawns elsewhere, with the target's word on it
CREATE TABLE answers (
    operation TEXT PRIMARY KEY,
    spawn TEXT NOT NULL,
    target TEXT NOT NULL,
    request TEXT NOT NULL,
    verb TEXT NOT NULL,
    person TEXT NOT NULL,
    at INTEGER NOT NULL,
    outcome TEXT
) STRICT;

-- `relay failures` among any number of past spawns
CREATE INDEX spawns_failed ON spawns (origin, since)
    WHERE state IN ('failed', 'timed_out', 'lost', 'rejected', 'expired');
"""

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
-- the queue: who paused it, which schedule it is a run of; and what waits here, in the order in which it starts
ALTER TABLE spawns ADD COLUMN paused_by TEXT;
ALTER TABLE spawns ADD COLUMN schedule TEXT;
CREATE INDEX spawns_waiting ON spawns (target, priority DESC, n, agent, origin) WHERE live = 1 AND state = 'waiting';
CREATE INDEX spawns_not_before ON spawns (target, not_before)
    WHERE live = 1 AND state = 'waiting' AND not_before IS NOT NULL;

-- what has to end before a spawn starts; met: it has, as it had to
CREATE TABLE predecessors (
    spawn TEXT NOT NULL,
    predecessor TEXT NOT NULL,
    condition TEXT NOT NULL CHECK (condition IN ('success', 'any')),
    met INTEGER NOT NULL DEFAULT 0 CHECK (met IN (0, 1)),
    PRIMARY KEY (spawn, predecessor)
) WITHOUT ROWID, STRICT;
CREATE INDEX predecessors_of ON predecessors (predecessor) WHERE met = 0;

-- attempts that another one followed, with how each ended; asked: by whom it was asked for, empty for a retry
CREATE TABLE tries (
    spawn TEXT NOT NULL,
    n INTEGER NOT NULL,
    asked TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (spawn, n, asked)
) WITHOUT ROWID, STRICT;

-- what this broker asked another to do with a spawn or schedule of its; error: what it answered, empty for done
CREATE TABLE steers (
    operation TEXT PRIMARY KEY,
    spawn TEXT NOT NULL,
    verb TEXT NOT NULL,
    content TEXT NOT NULL,
    at INTEGER NOT NULL,
    error TEXT
) WITHOUT ROWID, STRICT;
CREATE INDEX steers_spawn ON steers (spawn, at);

-- what came here before the spawn it is about
CREATE TABLE early_steers (
    n INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    spawn TEXT NOT NULL,
    operation TEXT NOT NULL,
    content TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX early_steers_spawn ON early_steers (origin, spawn);

-- what runs again and again; at its target next is when, elsewhere it is what the target said last
CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    origin TEXT NOT NULL,
    target TEXT NOT NULL,
    operation TEXT NOT NULL,
    every TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'active', 'refused', 'removed')),
    created INTEGER NOT NULL,
    since INTEGER NOT NULL,
    next INTEGER,
    last INTEGER,
    last_spawn TEXT,
    runs INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    ttl INTEGER NOT NULL,
    error TEXT,
    request TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX schedules_next ON schedules (next) WHERE state = 'active';

-- a row for each due time that was acted on; spawn: the run, NULL where it was skipped
CREATE TABLE schedule_runs (
    schedule TEXT NOT NULL,
    due INTEGER NOT NULL,
    spawn TEXT,
    PRIMARY KEY (schedule, due)
) WITHOUT ROWID, STRICT;
"""

"""The schema, continued: runners and shared tools. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_16 = """
-- what this broker shares by a person's word; env may hold secrets, and is shown by its names alone
CREATE TABLE shares (
    name TEXT PRIMARY KEY,
    command TEXT,
    runner TEXT,
    chosen TEXT NOT NULL,
    env TEXT NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- what programs offer here, also while they do not run; a program's pid and ticks name its process for good
CREATE TABLE offers (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    kind TEXT NOT NULL,
    share TEXT,
    program TEXT NOT NULL,
    title TEXT NOT NULL,
    pid INTEGER NOT NULL,
    ticks INTEGER NOT NULL,
    boot TEXT NOT NULL,
    served INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- what was told to whom, and what was heard of whom
CREATE TABLE catalogues_told (
    broker TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    digest BLOB NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE catalogues (
    broker TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    heard INTEGER NOT NULL,
    offers TEXT NOT NULL
) WITHOUT ROWID, STRICT;
-- an empty broker stands for all of them
CREATE TABLE hidden_tools (
    name TEXT NOT NULL,
    broker TEXT NOT NULL,
    PRIMARY KEY (name, broker)
) WITHOUT ROWID, STRICT;

CREATE TABLE calls (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tool TEXT NOT NULL,
    arguments BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    timeout_s REAL NOT NULL,
    requested_by TEXT NOT NULL,
    chain TEXT NOT NULL,
    origin TEXT NOT NULL,
    target TEXT NOT NULL,
    parent TEXT,
    links BLOB,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    reason TEXT NOT NULL,
    since INTEGER NOT NULL,
    at INTEGER,
    started INTEGER,
    ended INTEGER,
    outcome TEXT,
    result BLOB,
    pieces INTEGER NOT NULL,
    error TEXT,
    program TEXT,
    claimed INTEGER,
    first_word INTEGER,
    learnt INTEGER NOT NULL,
    stop_requested INTEGER,
    live INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_live ON calls (target, state, n) WHERE live = 1;
CREATE INDEX calls_ended ON calls (learnt) WHERE live = 0;
CREATE INDEX calls_of_parent ON calls (parent) WHERE parent IS NOT NULL;

-- of a result that came in pieces: those that are here, and the word that waits for the others
CREATE TABLE call_pieces (
    call TEXT NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (call, seq, n)
) WITHOUT ROWID, STRICT;
CREATE TABLE call_words (
    call TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    word BLOB NOT NULL
) WITHOUT ROWID, STRICT;
"""

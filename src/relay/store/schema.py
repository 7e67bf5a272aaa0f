"""The schema, one text a migration (frozen once released; see `migrations`).

Times are milliseconds since 1970. Spawn and broker ids are text, envelope ids are their sixteen bytes.
Large columns stand last in their table: SQLite reads a row from its front, and leaves overflow pages alone
where it can.
"""

from __future__ import annotations

VERSION_1 = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE peers (
    id TEXT PRIMARY KEY,
    public BLOB NOT NULL CHECK (length(public) = 32),
    sealing_public BLOB CHECK (length(sealing_public) = 32),
    name TEXT NOT NULL,
    addresses TEXT NOT NULL DEFAULT '[]',
    last_seen INTEGER,
    incarnation INTEGER NOT NULL DEFAULT 0,
    nonce BLOB,
    frozen INTEGER NOT NULL DEFAULT 0 CHECK (frozen IN (0, 1)),
    clock_skew_ms INTEGER,
    version TEXT NOT NULL DEFAULT '',
    grants_to_us TEXT,
    agents TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID, STRICT;
CREATE INDEX peers_name ON peers (name);

CREATE TABLE statements (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    signer TEXT NOT NULL,
    seq INTEGER NOT NULL,
    bytes BLOB NOT NULL
) WITHOUT ROWID, STRICT;
-- not unique: the two halves of a forked chain are both kept, they are the proof of the fork
CREATE INDEX statements_chain ON statements (signer, seq);

CREATE TABLE invites (
    id TEXT PRIMARY KEY,
    verifier BLOB NOT NULL,
    role TEXT NOT NULL,
    expires INTEGER NOT NULL,
    used_by TEXT,
    answer BLOB,
    created INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- AUTOINCREMENT: a link pages by n, so that a number must never come back for another envelope
CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    recipient TEXT NOT NULL,
    kind TEXT NOT NULL,
    operation TEXT NOT NULL,
    spawn TEXT,
    bytes INTEGER NOT NULL CHECK (bytes > 0),
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    last_try INTEGER,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead')),
    reason TEXT NOT NULL DEFAULT '',
    envelope BLOB NOT NULL,
    UNIQUE (recipient, kind, operation)
) STRICT;
CREATE INDEX outbox_pending ON outbox (recipient, n) WHERE state = 'pending';
CREATE INDEX outbox_expires ON outbox (expires) WHERE state = 'pending';

-- kept by triggers, so that the quota is checked at each post without counting the table
CREATE TABLE outbox_size (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    envelopes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO outbox_size VALUES (1, 0, 0);
CREATE TRIGGER outbox_grows AFTER INSERT ON outbox BEGIN
    UPDATE outbox_size SET envelopes = envelopes + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER outbox_shrinks AFTER DELETE ON outbox BEGIN
    UPDATE outbox_size SET envelopes = envelopes - 1, bytes = bytes - old.bytes;
END;
CREATE TRIGGER outbox_resealed AFTER UPDATE OF bytes ON outbox BEGIN
    UPDATE outbox_size SET bytes = bytes - old.bytes + new.bytes;
END;

CREATE TABLE seen (
    origin TEXT NOT NULL,
    id BLOB NOT NULL,
    digest BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (origin, id)
) WITHOUT ROWID, STRICT;
CREATE INDEX seen_expires ON seen (expires);

CREATE TABLE effects (
    origin TEXT NOT NULL,
    operation TEXT NOT NULL,
    expires INTEGER NOT NULL,
    answer BLOB,
    PRIMARY KEY (origin, operation)
) WITHOUT ROWID, STRICT;
CREATE INDEX effects_expires ON effects (expires);

CREATE TABLE operations (
    op TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    answer TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX operations_at ON operations (at);

-- n is the order of arrival here: the order in which waiting spawns start
CREATE TABLE spawns (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 16),
    name TEXT NOT NULL,
    origin TEXT NOT NULL,
    target TEXT NOT NULL,
    agent TEXT NOT NULL,
    cwd TEXT,
    mode TEXT NOT NULL CHECK (mode IN ('plan', 'edit', 'full')),
    model TEXT,
    timeout_s REAL,
    labels TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    chain TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    operation TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'held', 'waiting', 'starting', 'running',
        'needs_input', 'completed', 'failed', 'timed_out', 'cancelled', 'rejected', 'expired', 'lost')),
    live INTEGER NOT NULL GENERATED ALWAYS AS (
        state IN ('queued', 'delivered', 'held', 'waiting', 'starting', 'running', 'needs_input')) STORED,
    reason TEXT NOT NULL DEFAULT '',
    since INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    seq INTEGER NOT NULL DEFAULT 0,
    at INTEGER,
    ran_in TEXT,
    started INTEGER,
    ended INTEGER,
    exit_code INTEGER,
    signal INTEGER,
    first_word INTEGER,
    stop_requested INTEGER,
    needs TEXT,
    error TEXT,
    result TEXT,
    argv TEXT NOT NULL,
    task TEXT NOT NULL
) STRICT;
CREATE INDEX spawns_live ON spawns (target, state, n) WHERE live = 1;
CREATE INDEX spawns_live_name ON spawns (name, target) WHERE live = 1;
CREATE INDEX spawns_ended ON spawns (since) WHERE live = 0;
CREATE INDEX spawns_name ON spawns (name, created);
CREATE INDEX spawns_newest ON spawns (created, state, target, origin);

CREATE TABLE attempts (
    spawn TEXT NOT NULL,
    n INTEGER NOT NULL CHECK (n > 0),
    folder TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('prepared', 'started', 'ended', 'fenced')),
    prepared INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    exit TEXT,
    PRIMARY KEY (spawn, n)
) WITHOUT ROWID, STRICT;
CREATE INDEX attempts_open ON attempts (state) WHERE state IN ('prepared', 'started');

CREATE TABLE snapshots (
    spawn TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    signature BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (spawn, attempt, seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE tails (
    spawn TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE tombstones (
    origin TEXT NOT NULL,
    spawn TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (origin, spawn)
) WITHOUT ROWID, STRICT;

-- AUTOINCREMENT: a client resumes by seq, also after the newest were purged
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    entry BLOB NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
"""

VERSION_2 = """
-- who keeps an envelope of ours for its recipient, since when, and how often one was asked to
ALTER TABLE outbox ADD COLUMN holder TEXT;
ALTER TABLE outbox ADD COLUMN held_at INTEGER;
ALTER TABLE outbox ADD COLUMN handed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX outbox_held ON outbox (held_at) WHERE holder IS NOT NULL;

-- what this broker keeps for others
CREATE TABLE held (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    origin TEXT NOT NULL,
    recipient TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    since INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    UNIQUE (origin, id)
) STRICT;
CREATE INDEX held_recipient ON held (recipient, n);
CREATE INDEX held_expires ON held (expires);

CREATE TABLE held_size (
    origin TEXT PRIMARY KEY,
    envelopes INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TRIGGER held_grows AFTER INSERT ON held BEGIN
    INSERT INTO held_size VALUES (new.origin, 1, new.bytes)
        ON CONFLICT (origin) DO UPDATE SET envelopes = envelopes + 1, bytes = bytes + new.bytes;
END;
CREATE TRIGGER held_shrinks AFTER DELETE ON held BEGIN
    UPDATE held_size SET envelopes = envelopes - 1, bytes = bytes - old.bytes WHERE origin = old.origin;
END;
"""

VERSION_3 = """
-- what came in and was not taken: it failed here and comes again, or it was refused for good
CREATE TABLE refusals (
    origin TEXT NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('failing', 'refused')),
    tries INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (origin, id)
) WITHOUT ROWID, STRICT;
CREATE INDEX refusals_last ON refusals (origin, last);

-- how a peer was last seen to go (`relay.broker.presence`); empty where that is not known
ALTER TABLE peers ADD COLUMN farewell TEXT NOT NULL DEFAULT '';
"""

# what members say of themselves, one row a member, as they signed it; and what they are called on this machine
VERSION_4 = """
CREATE TABLE records (
    broker TEXT PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    heard INTEGER NOT NULL,
    bytes BLOB NOT NULL CHECK (length(bytes) <= 4352)
) WITHOUT ROWID, STRICT;

CREATE TABLE aliases (
    broker TEXT PRIMARY KEY,
    alias TEXT NOT NULL UNIQUE
) WITHOUT ROWID, STRICT;
"""

VERSION_5 = """
-- items: the first so many items of the walk over its tree are on the disk, synced
CREATE TABLE blobs (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    size INTEGER NOT NULL CHECK (size >= 0),
    whole INTEGER NOT NULL DEFAULT 0 CHECK (whole IN (0, 1)),
    items INTEGER NOT NULL DEFAULT 0 CHECK (items >= 0),
    created INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- who needs a blob: `open` and `here` hold it, the others tell for a while what came of it
CREATE TABLE blob_references (
    blob BLOB NOT NULL CHECK (length(blob) = 32),
    need TEXT NOT NULL CHECK (need IN ('offer', 'download', 'pin')),
    peer TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'here', 'delivered', 'refused', 'failed', 'expired')),
    holds INTEGER NOT NULL GENERATED ALWAYS AS (state IN ('open', 'here')) STORED,
    until INTEGER NOT NULL,
    created INTEGER NOT NULL,
    operation TEXT NOT NULL DEFAULT '',
    error TEXT,
    PRIMARY KEY (blob, need, peer)
) WITHOUT ROWID, STRICT;
CREATE INDEX blob_references_until ON blob_references (until);
CREATE INDEX blob_references_name ON blob_references (name);
CREATE INDEX blob_references_offer ON blob_references (operation) WHERE need = 'offer';
"""

VERSION_6 = """
-- a member's signature over the start that is noted of it, so that it can be proved to that member
ALTER TABLE peers ADD COLUMN start_proof BLOB;
"""

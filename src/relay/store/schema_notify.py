"""The schema, continued: whom a person is told by, and what was told. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_14 = """
-- the address is sealed to this broker's own key: a copy of the store does not tell it
CREATE TABLE notify_channels (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    address BLOB NOT NULL,
    service TEXT NOT NULL,
    rules TEXT NOT NULL,
    full INTEGER NOT NULL,
    link TEXT NOT NULL,
    instead_of TEXT,
    via TEXT NOT NULL,
    created INTEGER NOT NULL,
    trouble TEXT
) WITHOUT ROWID, STRICT;
CREATE UNIQUE INDEX notify_channels_named ON notify_channels (owner, name);

-- what the brokers that a channel was entrusted to said of it
CREATE TABLE notify_entrusted (
    channel TEXT NOT NULL,
    broker TEXT NOT NULL,
    state TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (channel, broker)
) WITHOUT ROWID, STRICT;

CREATE TABLE notify_deliveries (
    event TEXT NOT NULL,
    channel TEXT NOT NULL,
    spawn TEXT NOT NULL,
    happening TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    level TEXT NOT NULL,
    state TEXT NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    doubts INTEGER NOT NULL,
    error TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    told_by TEXT,
    PRIMARY KEY (event, channel)
) WITHOUT ROWID, STRICT;
CREATE INDEX notify_deliveries_due ON notify_deliveries (due) WHERE ended IS NULL;
CREATE INDEX notify_deliveries_ended ON notify_deliveries (ended) WHERE ended IS NOT NULL;

-- at the origin: to be told of whatever the rules; at the target: its origin's signed word on who tells of it
CREATE TABLE notify_asked (spawn TEXT PRIMARY KEY) WITHOUT ROWID, STRICT;
CREATE TABLE notify_vouchers (
    spawn TEXT PRIMARY KEY,
    data BLOB NOT NULL,
    signature BLOB NOT NULL
) WITHOUT ROWID, STRICT;
"""

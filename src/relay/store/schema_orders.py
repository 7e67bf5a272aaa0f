"""The schema, continued: in which order spawns were steered, and what a person was told, by spawn. As in `schema`."""

from __future__ import annotations

VERSION_22 = """
-- of each thing that an asker has set of a spawn (none: of the queue) the order of the latest request
CREATE TABLE steer_orders (
    spawn TEXT NOT NULL,
    asker TEXT NOT NULL,
    thing TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (spawn, asker, thing)
) WITHOUT ROWID, STRICT;

-- what a person was told of one spawn, over one channel, and last, among any number
CREATE INDEX notify_deliveries_spawn ON notify_deliveries (spawn);
CREATE INDEX notify_deliveries_channel ON notify_deliveries (channel, created);
CREATE INDEX notify_deliveries_created ON notify_deliveries (created);
"""

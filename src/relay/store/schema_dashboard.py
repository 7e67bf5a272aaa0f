"""The tables of the dashboard: the devices that may open it, and the codes by which one becomes such a device."""

from __future__ import annotations

VERSION_15 = """
-- a token is 32 random bytes: its plain hash tells nobody anything
CREATE TABLE dashboard_devices (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER,
    revoked INTEGER
) WITHOUT ROWID, STRICT;

CREATE TABLE dashboard_codes (
    hash BLOB PRIMARY KEY,
    scopes TEXT NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
"""

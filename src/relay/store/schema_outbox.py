"""The schema, continued: what waits for one spawn. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_18 = """
-- a peer that sleeps for long has up to 100,000 rows: stopping a spawn, and each result's receipt, look for their own
CREATE INDEX outbox_spawn ON outbox (spawn) WHERE spawn IS NOT NULL;
"""

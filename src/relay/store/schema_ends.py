"""The schema, continued: when the end of a spawn came to be known here. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_10 = """
-- when the word that stands was taken in, by this machine's own clock: `since` is by the clock of who said it, and the
-- word may have come weeks after. What is kept for a while from its end on is kept from then on
ALTER TABLE spawns ADD COLUMN learnt INTEGER NOT NULL DEFAULT 0;
UPDATE spawns SET learnt = since;
CREATE INDEX spawns_learnt ON spawns (learnt) WHERE live = 0;
"""

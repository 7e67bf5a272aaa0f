"""The schema, continued: the pages that each spawn need not write. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_19 = """
-- nobody asks for open attempts: at a start it is the spawns in hand that are taken up
DROP INDEX attempts_open;

-- by name: the live ones apart, the newest last; one index for what two were for
DROP INDEX spawns_live_name;
DROP INDEX spawns_name;
CREATE INDEX spawns_name ON spawns (name, live, created);

-- a spawn enters the list of all that ever was once, when it has ended: what lives is in `spawns_live`.
-- By its states, for with the generated column SQLite would read each row besides
DROP INDEX spawns_newest;
CREATE INDEX spawns_newest ON spawns (created, state, target, origin, agent, name, since, labels)
    WHERE state IN ('completed', 'failed', 'timed_out', 'cancelled', 'rejected', 'expired', 'lost');
"""

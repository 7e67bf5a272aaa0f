"""The tables and indexes behind what people look at: `relay ps` and `relay show`."""

from __future__ import annotations

VERSION_9 = """
-- `ps`: each of its filters is answered from one index, newest first, without the rows that do not match
DROP INDEX spawns_newest;
CREATE INDEX spawns_newest ON spawns (created, state, target, origin, agent, name, since, labels);
DROP INDEX spawns_ended;
CREATE INDEX spawns_ended ON spawns (since, state, target, origin, agent, name, labels) WHERE live = 0;
-- what did not go well, among any number that did: `ps --state failed`
CREATE INDEX spawns_not_completed ON spawns (created, state, target, origin, agent, name, since, labels)
    WHERE live = 0 AND state <> 'completed';

-- what the earlier words on an ended spawn said, when the words themselves are no longer kept
CREATE TABLE timelines (
    spawn TEXT PRIMARY KEY,
    steps TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""

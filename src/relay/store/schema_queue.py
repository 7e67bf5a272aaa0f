"""The schema, continued: what the queue is counted by. As in `schema`."""

from __future__ import annotations

VERSION_21 = """
-- how many are ahead is counted for each spawn that finds no slot: from this index alone, whatever the rows hold
DROP INDEX spawns_waiting;
CREATE INDEX spawns_waiting ON spawns (target, priority DESC, n, agent, origin, paused, not_before, id)
    WHERE live = 1 AND state = 'waiting';
"""

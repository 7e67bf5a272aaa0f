"""The schema, continued: what never waited nor ran here, by who asked for it. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_23 = """
-- of who has no grant the latest of these are kept; what it asks is answered with the first word, and that is the end
CREATE INDEX spawns_refused ON spawns (origin, target, n)
    WHERE seq = 1 AND attempt = 0 AND state IN ('rejected', 'expired', 'cancelled');
"""

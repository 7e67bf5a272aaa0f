"""The schema, continued: the tests of agents among past spawns. One text a migration, as in `schema`."""

from __future__ import annotations

VERSION_13 = """
-- few of any number of past spawns: the last one of each agent is found without a look at the others
CREATE INDEX spawns_tests ON spawns (agent, created) WHERE instr(labels, '"relay.test"') > 0;
"""

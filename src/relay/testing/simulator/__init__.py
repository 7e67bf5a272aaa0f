"""A simulator of the core: whole schedules of crashes and partitions, seeded, in milliseconds each.

    schedule ── what happens when ──► world (timeline, network) ──► brokers ──► oracle, after each step

What is simulated is the pure core as it is: `LinkMachine`, `Window`, `replaces`, the state table, the order of
snapshots, the fold of the roster. Around it stands a shell that does what `broker.link`, `broker.mesh`,
`broker.outbox` and `broker.inbox` do, with a clock, a network and a disk that belong to the simulation:

- the *network* delays, and when told duplicates, reorders, holds back, swallows, and loses connections;
- a *disk* runs operations at its commit and tells their callers later; a crash loses what was not committed, and
  whom it had not told yet;
- *envelopes* are plain values: signing and sealing are not simulated.

The *oracle* hears of every committed change and raises `Violation` with the seed. `run` is all of it.
"""

from relay.testing.simulator.oracle import Violation
from relay.testing.simulator.schedule import Outcome, Plan, run

__all__ = ["Outcome", "Plan", "Violation", "run"]

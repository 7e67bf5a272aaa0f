"""A schedule: what befalls a small world, drawn from a seed; then peace, and the question whether all ended well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from relay.core import ids
from relay.core.statements import FIRST_PREVIOUS, Member, Statement, StatementKind, pack_statement, unpack_statement
from relay.testing.simulator.broker import SimBroker
from relay.testing.simulator.hostile import hostile
from relay.testing.simulator.network import Network, Roughness
from relay.testing.simulator.oracle import Oracle, Violation
from relay.testing.simulator.timeline import Timeline
from relay.testing.simulator.world import Seam, World

ROOT_PUBLIC = bytes(32)
PEACE_WITHIN = 1_800_000
SECOND_QUIET_WITHIN = 7 * 3_600_000
MOST_STEPS = 20_000
MOST_STEPS_OF_HOURS = 200_000
CALM = Roughness()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much befalls a world.

    Attributes:
        brokers: how many, at most four.
        spawns: how many are ordered.
        crashes: how many brokers crash.
        partitions: how often two brokers are parted.
        trouble_ms: for how long, of simulated time.
        failing: the chance that a commit fails meanwhile.
        rough: the network meanwhile.
        holder: the second broker is always on, and keeps envelopes for the others.
        strangers: no network leads from the first to the third; by peace one does where the only holder is hostile.
        hostile: the holder loses, doubles, bends, invents and reorders what it keeps.
        second: the last broker is a holder too, an honest one: all that strangers want of each other comes through it.
    """

    brokers: int
    spawns: int
    crashes: int
    partitions: int
    trouble_ms: int
    failing: float
    rough: Roughness
    holder: bool = False
    strangers: bool = False
    hostile: bool = False
    second: bool = False

    @property
    def quiet_within(self) -> int:
        """How long after the trouble nothing may wait any more, simulated milliseconds.

        By `PEACE_WITHIN` all is delivered: what a hostile holder has lost goes to the second one after ten minutes. A
        receipt that got lost after that is asked for again after six hours only, as `hand_over_again` has it.
        """
        return SECOND_QUIET_WITHIN if self.second else PEACE_WITHIN

    @classmethod
    def drawn(cls, line: Timeline) -> Plan:
        """A plan as the seed has it."""
        delay, duplicate, reorder = map(line.random.choice, ((2, 20, 200), (0, 0.02), (0, 0.02)))
        holder, hostile = line.chance(0.8), line.chance(0.3)
        second = holder and hostile and line.chance(0.5)
        brokers = 4 if second else 3 if line.chance(0.5) else 2
        return cls(
            brokers=brokers,
            spawns=line.between(2, 8),
            crashes=line.between(0, 6),
            partitions=line.between(0, 3),
            trouble_ms=line.random.choice((50, 2_000, 20_000)),
            failing=line.random.choice((0, 0.1)),
            rough=Roughness(int(delay), duplicate, reorder),
            holder=holder,
            strangers=second or (brokers == 3 and line.chance(0.7)),
            hostile=hostile,
            second=second,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule came to: events, simulated milliseconds, spawns that were accepted."""

    steps: int
    lasted_ms: int
    accepted: int


@lru_cache(1)
def _statements() -> tuple[Statement, ...]:
    """One root's chain: three brokers and some that come and go."""
    publics = [ROOT_PUBLIC, *(bytes([at]) * 32 for at in range(1, 6))]
    chain: list[Statement] = []
    words = [*((StatementKind.ADMIT, public) for public in publics), (StatementKind.EVICT, publics[4])]
    for seq, (kind, public) in enumerate(words, 1):
        subject = ids.broker_id(public)
        member = Member(subject, public, bytes(32), "machine", seq) if kind is StatementKind.ADMIT else None
        previous = chain[-1].hash if chain else FIRST_PREVIOUS
        root = ids.broker_id(ROOT_PUBLIC)
        draft = Statement(kind, "a" * 26, root, seq, previous, seq, subject, member)
        chain.append(unpack_statement(pack_statement(draft)))
    return tuple(chain)


class _Schedule:
    def __init__(self, seed: int, plan: Plan | None, broker: type[SimBroker]) -> None:
        self.line = Timeline(seed)
        self.plan = plan or Plan.drawn(self.line)
        self.oracle = Oracle()
        self.network = Network(self.line, self.plan.rough)
        self.world = World(self.line, self.network, Seam(), self.oracle, ROOT_PUBLIC)
        kinds = [broker] * self.plan.brokers
        if self.plan.hostile and self.plan.holder:
            kinds[1] = hostile(broker)
        self.world.brokers += [kind(self.world, at, self.plan.failing) for at, kind in enumerate(kinds)]
        self.world.brokers[1].always_on = self.plan.holder
        self.world.brokers[-1].always_on |= self.plan.second
        if self.plan.strangers:
            self.network.strangers.add(frozenset((0, 2)))
        self.oracle.brokers = self.world.brokers

    def run(self) -> Outcome:
        self._set_out()
        self._draw()
        self.line.after(self.plan.trouble_ms, self._make_peace)
        until = self.plan.trouble_ms + self.plan.quiet_within
        most = MOST_STEPS_OF_HOURS if self.plan.second else MOST_STEPS
        self.line.after(self.plan.trouble_ms + PEACE_WITHIN, self._require_delivered)
        while self.line.now < until and self.line.steps < most:
            self.line.step()
            if self.line.now >= self.plan.trouble_ms and self.oracle.quiet and not self.oracle.wrong_when_quiet():
                return Outcome(self.line.steps, self.line.now, len(self.oracle.accepted))
        raise Violation(self.oracle.wrong_when_quiet() or "it never became quiet")

    def _require_delivered(self) -> None:
        left = self.oracle.undelivered()
        if left:
            raise Violation(f"not delivered in time: {left}")

    def _set_out(self) -> None:
        for broker in self.world.brokers:
            known = _statements()[: self.line.between(1, 6)]
            broker.disk.tables.statements |= {each.previous + each.subject.encode(): each for each in known}
            broker.boot()
        self.line.after(self._some_time(), self._if_up, 0, lambda broker: broker.learn(_statements()))

    def _some_time(self) -> int:
        return self.line.between(0, self.plan.trouble_ms - 1)

    def _if_up(self, number: int, does: object) -> None:
        broker = self.world.brokers[number]
        if broker.is_running:
            does(broker)  # type: ignore[operator]

    def _draw(self) -> None:
        for at in range(self.plan.spawns):
            self._draw_spawn(f"s{at}")
        for _ in range(self.plan.crashes):
            self.line.after(self._some_time(), self._crash)
        for _ in range(self.plan.partitions):
            self.line.after(self._some_time(), self._part)

    def _two(self) -> tuple[int, int]:
        one, other = self.line.random.sample(range(self.plan.brokers), 2)
        return one, other

    def _draw_spawn(self, spawn: str) -> None:
        origin, target = self._two()
        ordered = self._some_time()
        self.line.after(ordered, self._if_up, origin, lambda broker: broker.order(spawn, target))
        if self.line.chance(0.4):
            later = ordered + self.line.between(0, self.line.random.choice((10, 3_000)))
            self.line.after(later, self._if_up, origin, lambda broker: broker.cancel(spawn, target))

    def _crash(self) -> None:
        broker = self.world.brokers[self.line.random.randrange(self.plan.brokers)]
        if broker.is_running:
            broker.crash(silently=self.line.chance(0.3))
            self.line.after(self.line.between(1, 3_000), self._boot, broker)

    def _boot(self, broker: SimBroker) -> None:
        if not broker.is_running:
            broker.boot()

    def _part(self) -> None:
        pair = frozenset(self._two())
        self.network.partition(pair)
        self.line.after(self.line.between(1, 5_000), self.network.heal, pair)

    def _make_peace(self) -> None:
        self.network.rough = CALM
        if not self.plan.second and (self.plan.hostile or not self.plan.holder):
            self.network.strangers.clear()
        for one in range(self.plan.brokers):
            for other in range(one):
                self.network.heal(frozenset((one, other)))
        for broker in self.world.brokers:
            broker.disk.failing = 0.0
            self._boot(broker)


def run(seed: int, plan: Plan | None = None, broker: type[SimBroker] = SimBroker) -> Outcome:
    """Run one schedule to its end.

    Args:
        seed: of everything.
        plan: how much befalls the world; drawn from the seed where none is given.
        broker: the brokers' class; a test plants its bugs by one of its own.

    Raises:
        Violation: an invariant does not hold; the message begins with the seed.
    """
    schedule = _Schedule(seed, plan, broker)
    try:
        return schedule.run()
    except Violation as violation:
        raise Violation(f"seed {seed}, {schedule.line.now} ms, {schedule.plan}: {violation}") from violation

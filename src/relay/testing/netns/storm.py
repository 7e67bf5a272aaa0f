"""Tasks over an internet whose parts are cut, moved and put to sleep at random; what has to hold is in `trial.py`.

`run` is deterministic in what it decides (by its seed), not in what the machine makes of it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import permutations

from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.cuts import Cut
from relay.testing.netns.wires import Quality
from relay.testing.node import Node
from relay.testing.tickets import SHAPES, Ticket
from relay.testing.trial import Trial

SUBMITTERS = 8
LONGEST_PAUSE = 1.5
LONGEST_TROUBLE = 15.0
FAR = Quality(delay_ms=100, loss=0.05)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        tasks: how many are asked for.
        troubles: how many cuts, moves, sleeps and kills there are.
        through_the_middle: whether brokers behind two NAT boxes ask one another too.
        settle_within: seconds for all to become terminal after everything was healed.
    """

    tasks: int
    troubles: int
    through_the_middle: bool
    settle_within: float = 150.0


@dataclass(slots=True)
class Report:
    """What happened."""

    seed: int
    troubles: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        happened = ", ".join(f"{count} {what}" for what, count in sorted(self.troubles.items()))
        ended = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        head = f"seed {self.seed}: {self.states.total()} tasks ({ended}), {happened}, {self.seconds:.0f} s"
        return "\n".join([head, *self.violations])


def five_brokers(mesh: InternetMesh) -> tuple[Node, ...]:
    """An always-on one, one beside it, one far away, and two behind NAT boxes that cannot reach each other.

    Each may run things on each.
    """
    mesh.internet.site("vps")
    mesh.internet.site("desk")
    mesh.internet.site("far", quality=FAR)
    for name in ("laptop", "mini"):
        mesh.internet.site(name, behind_nat=True)
    vps = mesh.add("vps")
    vps.relay("config", "set", "always_on", "true")
    vps.restart()
    others = [mesh.join(vps, name) for name in mesh.internet.sites if name != "vps"]
    nodes = (vps, *others)
    for on, to in permutations(nodes, 2):
        mesh.grant(on=on, to=to)
    return nodes


class _Storm:
    def __init__(self, mesh: InternetMesh, plan: Plan, nodes: tuple[Node, ...]) -> None:
        self.troubles: Counter[str] = Counter()
        self._mesh = mesh
        self._plan = plan
        self._nodes = nodes
        self._rng = random.Random(mesh.internet.seed)
        self._over: list[tuple[float, Callable[[], None]]] = []
        self._kinds = {"cut": self._cut, "isolated": self._isolate, "moved": self._move, "asleep": self._sleep,
                       "killed": self._kill}  # fmt: skip

    def tickets(self) -> Iterator[Ticket]:
        sites = self._mesh.internet.sites
        pairs = [
            pair
            for pair in permutations(self._nodes, 2)
            if self._plan.through_the_middle or not all(sites[node.name].is_behind_nat for node in pair)
        ]
        for number in range(self._plan.tasks):
            yield Ticket(number, self._rng.choice(list(SHAPES)), *self._rng.choice(pairs))

    # troubles

    def _cut(self) -> Callable[[], None]:
        first, second = (node.name for node in self._rng.sample(self._nodes, 2))
        self._mesh.internet.cut(first, second, self._rng.choice(list(Cut)))
        return lambda: self._mesh.internet.heal(first, second)

    def _isolate(self) -> Callable[[], None]:
        self._mesh.internet.isolate(self._rng.choice(self._nodes).name, self._rng.choice(list(Cut)))
        return self._mesh.internet.heal_all

    def _move(self) -> Callable[[], None]:
        # all but the first, whose address the others were told once
        name = self._rng.choice(self._nodes[1:]).name
        self._rng.choice([self._mesh.internet.move, self._mesh.internet.renumber])(name)
        return lambda: None

    def _sleep(self) -> Callable[[], None]:
        node = self._rng.choice(self._nodes)
        node.pause()
        return node.resume

    def _kill(self) -> Callable[[], None]:
        node = self._rng.choice(self._nodes)
        node.resume()
        node.kill()
        return lambda: _revive(node)

    def _end(self, before: float) -> None:
        due = [entry for entry in self._over if entry[0] <= before]
        self._over = [entry for entry in self._over if entry[0] > before]
        for _, end in due:
            end()

    def run(self, trial: Trial) -> None:
        """Ask for every task, with all troubles; returns once every task was accepted and all troubles are over."""
        left = list(trial.tickets)
        each = max(1, -(-len(left) // self._plan.troubles))
        asked: list[Future[None]] = []
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            for _ in range(self._plan.troubles):
                burst, left = left[:each], left[each:]
                asked += [pool.submit(trial.submit, ticket) for ticket in burst]
                self._trouble()
                # the pause is the experiment: it decides what the trouble falls into
                time.sleep(self._rng.uniform(0, LONGEST_PAUSE))
                self._end(time.monotonic())
            self._end(float("inf"))
            self._restore()
            for future in asked:
                future.result()

    def _trouble(self) -> None:
        kind = self._rng.choice(list(self._kinds))
        lasts = self._rng.uniform(0, LONGEST_TROUBLE)
        self._over.append((time.monotonic() + lasts, self._kinds[kind]()))
        self.troubles[kind] += 1

    def _restore(self) -> None:
        self._mesh.internet.heal_all()
        for node in self._nodes:
            node.resume()
            _revive(node)


def _revive(node: Node) -> None:
    if not node.running:
        node.start()


def run(mesh: InternetMesh, plan: Plan) -> Report:
    """Carry out a plan; what broke the promises is in the report's `violations`."""
    began = time.monotonic()
    nodes = five_brokers(mesh)
    trial = Trial(mesh, nodes, mesh.internet.seed)
    storm = _Storm(mesh, plan, nodes)
    trial.tickets = list(storm.tickets())
    storm.run(trial)
    trial.settle(plan.settle_within)
    trial.judge()
    trial.close()
    return Report(mesh.internet.seed, storm.troubles, trial.states, trial.violations, time.monotonic() - began)

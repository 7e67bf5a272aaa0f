"""The crash harness: tasks over two brokers while brokers, fork servers and shims are killed with -9 at random.

What has to hold at the end, however the kills fell, stands in `trial.py`. `run` is deterministic in what it
decides (by its seed), not in what the machine makes of it.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.testing import processes, tickets
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.trial import Trial

if TYPE_CHECKING:
    import psutil

SUBMITTERS = 8
LONGEST_PAUSE = 0.35
VICTIM_WITHIN = 0.6


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        tasks: how many are asked for.
        kills: how many processes are killed, at least.
        seed: of every decision.
        settle_within: seconds for all to become terminal after the last kill.
        middle: the two reach each other through a third one only, which is killed like them.
    """

    tasks: int
    kills: int
    seed: int
    settle_within: float = 60.0
    middle: bool = False


@dataclass(slots=True)
class Report:
    """What happened."""

    plan: Plan
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        killed = ", ".join(f"{count} {victim}" for victim, count in sorted(self.kills.items()))
        ended = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        head = f"seed {self.plan.seed}: {self.plan.tasks} tasks ({ended}), {self.kills.total()} kills ({killed})"
        return "\n".join([f"{head}, {self.seconds:.0f} s", *self.violations])


class _Storm:
    """Bursts of tasks with a kill after each."""

    def __init__(self, plan: Plan, trial: Trial, mortal: Sequence[Node]) -> None:
        self.plan = plan
        self.trial = trial
        self.mortal = mortal
        self.kills: Counter[str] = Counter()
        self._rng = random.Random(plan.seed)
        trial.tickets = tickets.draw(self._rng, plan.tasks, trial.nodes)

    def _victims(self) -> Iterator[tuple[str, Callable[[], int]]]:
        """The kinds of processes to kill, in the order to try."""
        node = self._rng.choice(self.mortal)
        draw = self._rng.random()
        if draw < 0.4:
            yield "shim", lambda: self._kill_one(node.shims)
        elif draw < 0.62:
            yield "fork server", lambda: self._kill_one(node.fork_servers)
        elif draw < 0.7:
            yield "broker", lambda: sum(each.kill() for each in self.mortal)
        yield "broker", node.kill

    def _kill_one(self, found: Callable[[], list[psutil.Process]]) -> int:
        try:
            candidates = processes.wait_until(found, VICTIM_WITHIN, "a victim")
        except TimeoutError:
            return 0
        return processes.kill(self._rng.choice(candidates))

    def _kill(self) -> None:
        for kind, kill in self._victims():
            if count := kill():
                self.kills[kind] += count
                break
        for node in self._rng.sample(self.mortal, len(self.mortal)):
            if not node.running:
                node.start()

    def run(self) -> None:
        """Ask for every task and kill as often as planned; returns once every task was accepted."""
        each = max(1, -(-self.plan.tasks // self.plan.kills))
        left = list(self.trial.tickets)
        asked: list[Future[None]] = []
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            while left or self.kills.total() < self.plan.kills:
                burst, left = left[:each], left[each:]
                asked += [pool.submit(self.trial.submit, ticket) for ticket in burst]
                # the pause is the experiment: it decides what the kill falls into
                time.sleep(self._rng.uniform(0, LONGEST_PAUSE))
                self._kill()
            for future in asked:
                future.result()


def _through_the_middle(mesh: Mesh) -> tuple[Node, Node]:
    middle = mesh.add("middle")
    middle.relay("config", "set", "always_on", "true")
    middle.restart()
    one, other = (mesh.join(middle, name) for name in ("a", "b"))
    for node in (one, other):
        node.launcher = (sys.executable, "-m", "relay.testing.apart", "--only", middle.address, "--")
        node.restart()
    mesh.await_link(one, other)
    return one, other


def run(plan: Plan) -> Report:
    """Carry out a plan in a scratch folder of its own; what broke the promises is in the report's `violations`."""
    started = time.monotonic()
    with Mesh.scratch("relay-crash-") as mesh:
        nodes = _through_the_middle(mesh) if plan.middle else mesh.pair("a", "b")
        mesh.grant(on=nodes[0], to=nodes[1])
        mesh.grant(on=nodes[1], to=nodes[0])
        trial = Trial(mesh, nodes, plan.seed)
        storm = _Storm(plan, trial, list(mesh.nodes.values()))
        storm.run()
        trial.settle(plan.settle_within)
        trial.judge()
        trial.close()
    return Report(plan, storm.kills, trial.states, trial.violations, time.monotonic() - started)

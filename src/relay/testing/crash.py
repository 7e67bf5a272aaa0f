"""The crash harness: tasks over two brokers while brokers, fork servers and shims are killed with -9 at random.

What has to hold at the end, however the kills fell:

- every accepted task (the API answered) is terminal at its origin, and its target says the same;
- none was started twice; none is called a success, or a failure of its own, that its marks do not bear out;
- 5 s later no process of a task is alive; once the brokers are stopped, no process at all;
- both stores pass SQLite's integrity check, and no broker wrote a traceback.

`run` is deterministic in what it decides (by its seed), not in what the machine makes of it.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from relay.store.engine import Store
from relay.testing import processes, tickets
from relay.testing.mesh import Mesh, ProcessesLeft
from relay.testing.node import Node
from relay.testing.tickets import Ticket

TERMINAL = frozenset({"completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost"})
SUBMITTERS = 8
LONGEST_PAUSE = 0.35
VICTIM_WITHIN = 0.6
TASKS_GONE_WITHIN = 5.0
_NO_ANSWER = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        tasks: how many are asked for.
        kills: how many processes are killed, at least.
        seed: of every decision.
        settle_within: seconds for all to become terminal after the last kill.
    """

    tasks: int
    kills: int
    seed: int
    settle_within: float = 60.0


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


class _Run:
    """One run over one mesh."""

    def __init__(self, plan: Plan, mesh: Mesh, nodes: tuple[Node, Node]) -> None:
        self.plan = plan
        self.mesh = mesh
        self.nodes = nodes
        self.rng = random.Random(plan.seed)
        self.report = Report(plan)
        self.tickets = tickets.draw(self.rng, plan.tasks, nodes)

    # asking

    def _submit(self, ticket: Ticket) -> None:
        """Ask until there is an answer; the operation id makes the repetition harmless."""
        processes.wait_until(lambda: self._accepted(ticket), 60, f"an answer about {ticket.name}", every=0.05)

    def _accepted(self, ticket: Ticket) -> bool:
        try:
            with ticket.origin.control(timeout=10) as control:
                ticket.spawn = control.post("spawns", ticket.request(self.plan.seed))["id"]
        except _NO_ANSWER:
            return False
        return True

    # killing

    def _victims(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """The kinds of processes to kill, in the order to try."""
        node = self.rng.choice(self.nodes)
        draw = self.rng.random()
        if draw < 0.35:
            yield "shim", lambda: self._kill_one(node.shims)
        elif draw < 0.55:
            yield "fork server", lambda: self._kill_one(node.fork_servers)
        elif draw < 0.65:
            yield "broker", self._kill_both
        yield "broker", node.kill

    def _kill_one(self, found: Callable[[], list[Any]]) -> bool:
        try:
            candidates = processes.wait_until(found, VICTIM_WITHIN, "a victim")
        except TimeoutError:
            return False
        return processes.kill(self.rng.choice(candidates))

    def _kill_both(self) -> bool:
        killed = [node.kill() for node in self.nodes]
        self.report.kills["broker"] += sum(killed) - 1
        return any(killed)

    def _kill(self) -> None:
        for kind, kill in self._victims():
            if kill():
                self.report.kills[kind] += 1
                break
        for node in self.rng.sample(self.nodes, 2):
            if not node.running:
                node.start()

    def disturb(self) -> None:
        """Ask for the tasks in bursts, with a kill after each."""
        each = max(1, -(-self.plan.tasks // self.plan.kills))
        left = list(self.tickets)
        asked: list[Future[None]] = []
        with ThreadPoolExecutor(SUBMITTERS) as pool:
            while left or self.report.kills.total() < self.plan.kills:
                burst, left = left[:each], left[each:]
                asked += [pool.submit(self._submit, ticket) for ticket in burst]
                # the pause is the experiment: it decides what the kill falls into
                time.sleep(self.rng.uniform(0, LONGEST_PAUSE))
                self._kill()
            for each_asked in asked:
                each_asked.result()

    # judging

    @staticmethod
    def _rows(node: Node) -> dict[str, dict[str, Any]]:
        with node.control() as control:
            return {row["id"]: row for row in control.spawns()}

    def _unsettled(self) -> list[str]:
        rows = {node.name: self._rows(node) for node in self.nodes}
        return [
            f"{ticket.name} ({ticket.shape}) is {row['state']} at {place.name}: {row['reason']}"
            for ticket in self.tickets
            for place in {ticket.origin.name: ticket.origin, ticket.target.name: ticket.target}.values()
            for row in [rows[place.name].get(ticket.spawn, {"state": "unknown", "reason": "no such spawn"})]
            if row["state"] not in TERMINAL
        ]

    def settle(self) -> None:
        """Wait until every task is terminal on both sides."""
        try:
            processes.wait_until(lambda: not self._unsettled(), self.plan.settle_within, "terminal states", every=0.25)
        except TimeoutError:
            self.report.violations += self._unsettled()

    def judge(self) -> None:
        """Compare what the brokers say with each other and with the marks."""
        rows = {node.name: self._rows(node) for node in self.nodes}
        nothing = {"state": "unknown", "reason": "", "error": None, "exit_code": None, "signal": None}
        for ticket in self.tickets:
            at_origin = rows[ticket.origin.name].get(ticket.spawn, nothing)
            at_target = rows[ticket.target.name].get(ticket.spawn, nothing)
            self.report.states[at_origin["state"]] += 1
            self.report.violations += ticket.violations(at_origin, at_target)
        for node in self.nodes:
            asked = sum(node in (ticket.origin, ticket.target) for ticket in self.tickets)
            if len(rows[node.name]) != asked:
                self.report.violations.append(f"{node.name} knows {len(rows[node.name])} spawns, not {asked}")

    def look_for_tasks(self) -> None:
        """No process of a task may be alive 5 s after the last one ended."""
        try:
            processes.wait_until(
                lambda: not processes.tasks_left(self.mesh.folder), TASKS_GONE_WITHIN, "the end of all tasks", every=0.2
            )
        except TimeoutError:
            left = processes.describe(processes.tasks_left(self.mesh.folder))
            self.report.violations.append(f"processes of tasks are alive:\n{left}")

    def close(self) -> None:
        """Stop the brokers; look at what they leave behind."""
        try:
            self.mesh.close()
        except ProcessesLeft as error:
            self.report.violations.append(str(error))
        for node in self.nodes:
            problems = asyncio.run(_integrity(node))
            self.report.violations += [f"{node.name}'s store: {problem}" for problem in problems]
            if "Traceback (most recent call last)" in node.log_tail(1_000_000):
                self.report.violations.append(f"{node.name} wrote a traceback:\n{node.log_tail()}")


async def _integrity(node: Node) -> list[str]:
    async with await Store.open(node.home / "relay.db") as store:
        return await store.integrity(thorough=True)


def run(plan: Plan) -> Report:
    """Carry out a plan in a scratch folder of its own; what broke the promises is in the report's `violations`."""
    started = time.monotonic()
    with Mesh.scratch("relay-crash-") as mesh:
        nodes = mesh.pair("a", "b")
        mesh.grant(on=nodes[0], to=nodes[1])
        mesh.grant(on=nodes[1], to=nodes[0])
        running = _Run(plan, mesh, nodes)
        running.disturb()
        running.settle()
        running.judge()
        running.look_for_tasks()
        running.close()
    running.report.seconds = time.monotonic() - started
    return running.report

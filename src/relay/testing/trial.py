"""Tasks asked of two brokers that may die at any moment, and what has to hold of them at the end.

- every accepted task (the API answered) is terminal at its origin, and its target says the same;
- none was started twice; none is called a success, or a failure of its own, that its marks do not bear out;
- 5 s later no process of a task is alive; once the brokers are stopped, no process at all;
- both stores pass SQLite's integrity check, and no broker wrote a traceback.
"""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from relay.store.engine import Store
from relay.testing import processes
from relay.testing.control import Control, ControlError
from relay.testing.mesh import Mesh, ProcessesLeft
from relay.testing.node import Node
from relay.testing.tickets import Ticket

TERMINAL = frozenset({"completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost"})
ANSWER_WITHIN = 60.0
TASKS_GONE_WITHIN = 5.0
_NO_ANSWER = (OSError, http.client.HTTPException)
_NOTHING: dict[str, Any] = {
    "state": "unknown",
    "reason": "no such spawn",
    "error": None,
    "exit_code": None,
    "signal": None,
}


@dataclass(slots=True)
class Trial:
    """The tasks of a run, and what is found wrong with them.

    Attributes:
        mesh: whose nodes they run on.
        nodes: those nodes.
        seed: part of the operation ids.
        tickets: all tasks asked for so far.
        states: how many ended in which state.
        violations: the promises that were broken, a line each.
    """

    mesh: Mesh
    nodes: tuple[Node, ...]
    seed: int
    tickets: list[Ticket] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def submit(self, ticket: Ticket) -> None:
        """Ask until there is an answer; the operation id makes the repetition harmless.

        Raises:
            ControlError: the answer was no.
            TimeoutError: there was none within a minute.
        """
        ticket.spawn = self._answered(ticket.origin, "spawns", ticket.request(self.seed))["id"]
        if ticket.is_to_be_stopped:
            stop = {"operation": f"stop-{self.seed}-{ticket.number}"}
            self._answered(ticket.origin, f"spawns/{ticket.spawn}/stop", stop)

    @staticmethod
    def _answered(node: Node, route: str, body: dict[str, Any]) -> dict[str, Any]:
        def ask() -> dict[str, Any] | None:
            try:
                with node.control(timeout=10) as control:
                    answer: dict[str, Any] = control.post(route, body)
            except _NO_ANSWER:
                return None
            return answer

        return processes.wait_until(ask, ANSWER_WITHIN, f"an answer of {node.name} about {route}", 0.05) or {}

    def _places(self, ticket: Ticket, controls: dict[str, Control]) -> dict[str, dict[str, Any]]:
        """A task's row at its origin and at its target, by the node's name.

        What was stopped before it was ever sent, its target never hears of: there the origin's word stands alone.
        """
        names = {ticket.origin.name, ticket.target.name}
        found = {name: _row(controls[name], ticket.spawn) for name in sorted(names)}
        if ticket.is_to_be_stopped and found[ticket.origin.name]["state"] == "cancelled":
            found = {name: row for name, row in found.items() if row is not _NOTHING}
        return found

    @contextmanager
    def _connected(self) -> Iterator[dict[str, Control]]:
        with ExitStack() as stack:
            yield {node.name: stack.enter_context(node.control()) for node in self.nodes}

    def _unsettled(self, tickets: list[Ticket], controls: dict[str, Control]) -> list[tuple[Ticket, str]]:
        """Which of these tasks are not terminal everywhere, and how they stand."""
        return [
            (ticket, f"{ticket.name} ({ticket.shape}) is {row['state']} at {place}: {row['reason']}")
            for ticket in tickets
            for place, row in self._places(ticket, controls).items()
            if row["state"] not in TERMINAL
        ]

    def settle(self, within: float, since: int = 0) -> None:
        """Wait until every task is terminal on both sides.

        Args:
            within: seconds.
            since: leave out the tickets before this one.
        """
        with self._connected() as controls:
            left = self._unsettled(self.tickets[since:], controls)

            def settled() -> bool:
                # a terminal state is for ever (`judge` looks again), so that only the others are asked about
                left[:] = self._unsettled(list({id(ticket): ticket for ticket, _ in left}.values()), controls)
                return not left

            try:
                processes.wait_until(settled, within, "terminal states", every=0.1)
            except TimeoutError:
                self.violations += [how for _, how in left]

    def await_files(self, within: float, since: int = 0) -> None:
        """Wait until what tasks gave back is at their origins, whole.

        Args:
            within: seconds.
            since: leave out the tickets before this one.
        """
        with self._connected() as controls:
            for ticket in (each for each in self.tickets[since:] if each.gives_back):
                origin = controls[ticket.origin.name]

                def came(ticket: Ticket = ticket, origin: Control = origin) -> bool:
                    spawn = origin.get(f"spawns/{ticket.spawn}")
                    files = (spawn["result"] or {}).get("files") or []
                    return spawn["state"] != "completed" or [each["here"] for each in files] == [True]

                try:
                    processes.wait_until(came, within, f"the file of {ticket.name}", every=0.1)
                except TimeoutError:
                    result = origin.get(f"spawns/{ticket.spawn}")["result"]
                    self.violations.append(f"{ticket.name}: its file did not come: {result}")

    def judge(self) -> None:
        """Compare what the brokers say with each other and with the marks."""
        with self._connected() as controls:
            for ticket in self.tickets:
                places = self._places(ticket, controls)
                at_origin = places[ticket.origin.name]
                self.states[at_origin["state"]] += 1
                self.violations += ticket.violations(at_origin, places.get(ticket.target.name, at_origin))
            for name, control in controls.items():
                asked = {ticket.spawn for ticket in self.tickets}
                if foreign := {row["id"] for row in control.spawns()} - asked:
                    self.violations.append(f"{name} knows spawns nobody was told of: {sorted(foreign)}")
        self._look_for_tasks()

    def _look_for_tasks(self) -> None:
        folder = self.mesh.folder
        try:
            processes.wait_until(lambda: not processes.tasks_left(folder), TASKS_GONE_WITHIN, "the end of all", 0.2)
        except TimeoutError:
            left = processes.describe(processes.tasks_left(folder))
            self.violations.append(f"processes of tasks are alive:\n{left}")

    def close(self) -> None:
        """Stop the brokers; look at what they leave behind."""
        try:
            self.mesh.close()
        except ProcessesLeft as error:
            self.violations.append(str(error))
        for node in self.nodes:
            problems = asyncio.run(_integrity(node))
            self.violations += [f"{node.name}'s store: {problem}" for problem in problems]
            _, found, after = (log := node.log()).partition("Traceback (most recent call last)")
            if found:
                at = len(log) - len(after)
                self.violations.append(f"{node.name} wrote a traceback:\n{log[max(0, at - 1_000) : at + 3_000]}")


def _row(control: Control, spawn: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = control.get(f"spawns/{spawn}")
    except ControlError as error:
        if error.code != "unknown_spawn":
            raise
        return _NOTHING
    return row


async def _integrity(node: Node) -> list[str]:
    async with await Store.open(node.home / "relay.db") as store:
        return await store.integrity(thorough=True)

"""Tasks that leave one mark a start in a file, between two brokers on an internet."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.testing import processes
from relay.testing.netns.brokers import InternetMesh
from relay.testing.node import Node

TERMINAL = frozenset({"completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost"})


def pair(mesh: InternetMesh, first: str, second: str) -> tuple[Node, Node]:
    """Brokers in two sites that were made, linked, each with leave to run things on the other."""
    nodes = mesh.pair(first, second)
    mesh.grant(on=nodes[0], to=nodes[1])
    mesh.grant(on=nodes[1], to=nodes[0])
    return nodes


@dataclass(frozen=True, slots=True)
class Task:
    """A spawn that was accepted.

    Attributes:
        origin, target: the brokers.
        id: the spawn's.
        marks: gets a line for each start.
        gate: it ends once this file is there; None where it does not wait.
    """

    origin: Node
    target: Node
    id: str
    marks: Path
    gate: Path | None = None

    @classmethod
    def asked(cls, origin: Node, target: Node, *, gated: bool = False) -> Task:
        """Ask for one."""
        key = uuid.uuid4().hex
        marks = target.work / f"{key}.marks"
        gate = target.work / f"{key}.gate" if gated else None
        wait = f"while [ ! -e {gate} ]; do sleep 0.02; done;" if gate else ""
        script = f"echo start >> {marks}; {wait} echo well"
        with origin.control() as control:
            found = control.spawn("/bin/sh", "-c", script, broker=target.name, cwd=str(target.work))
        return cls(origin, target, found["id"], marks, gate)

    def shown(self, on: Node | None = None) -> dict[str, Any]:
        """The spawn as a broker shows it, its origin unless told."""
        with (on or self.origin).control() as control:
            found: dict[str, Any] = control.get(f"spawns/{self.id}")
        return found

    def until(self, *states: str, within: float = 20.0, on: Node | None = None) -> dict[str, Any]:
        """The spawn once it is in one of these states.

        Raises:
            TimeoutError: it did not get there.
        """

        def found() -> dict[str, Any] | None:
            row = self.shown(on)
            return row if row["state"] in states else None

        return processes.wait_until(found, within, f"{self.id} to be {' or '.join(states)}") or {}

    def open(self) -> None:
        """Let it end."""
        assert self.gate is not None
        self.gate.touch()

    def ended_once(self, within: float = 20.0) -> None:
        """Expect that its origin hears of its proper end, and that it was started once."""
        ended = self.until(*TERMINAL, within=within)
        assert (ended["state"], ended["result"]["output_tail"]) == ("completed", "well\n"), ended
        assert self.marks.read_text() == "start\n"

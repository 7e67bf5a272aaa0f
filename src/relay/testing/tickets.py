"""The crash harness's tasks: real commands that leave a mark when they start and when they get to their end.

Each has a file of its own. One `start` line too many is a second run; `completed` without an `end` line is a
success that was made up.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.testing.node import Node

_SCRIPT = 'echo start >> "$1"; {middle} echo end >> "$1"; {end}'


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of task.

    Attributes:
        middle: shell words between the marks.
        end: shell words after the second mark.
        state: how it ends when nobody disturbs it.
        exit_code, signal: likewise.
        stopped: it is asked to stop as soon as it was accepted, and may end before it starts.
        retries: how often it is tried again; its first attempt fails after its first mark.
        gives_back: it makes a file that its origin wants back.
    """

    middle: str
    end: str
    state: str = "completed"
    exit_code: int | None = 0
    signal: int | None = None
    stopped: bool = False
    retries: int = 0
    gives_back: bool = False


SHAPES: dict[str, Shape] = {
    "quick": Shape("", "exit 0"),
    "exits-7": Shape("", "exit 7", "failed", 7),
    "by-signal": Shape("", "kill -TERM $$", "failed", None, 15),
    "sleeps": Shape("sleep 0.4;", "exit 0"),
    "sleeps-long": Shape("sleep 1.2;", "exit 0"),
    "prints": Shape("seq 2000;", "exit 0"),
    "stopped": Shape("sleep 300;", "exit 0", "cancelled", stopped=True),
    "retried": Shape('test -e "$1.again" || { touch "$1.again"; exit 7; };', "exit 0", retries=1),
    "gives-back": Shape('seq 9000 | tee "$1.made";', "exit 0", gives_back=True),
    "leaves-a-child": Shape("sleep 300 & sleep 0.2;", "exit 0"),
}


@dataclass(slots=True)
class Ticket:
    """One task of a run.

    Attributes:
        number: its place.
        shape: its name in `SHAPES`.
        origin, target: the nodes; the same one for local work.
        spawn: its id, once it was accepted.
    """

    number: int
    shape: str
    origin: Node
    target: Node
    spawn: str = ""

    @property
    def name(self) -> str:
        """The spawn's name."""
        return f"t{self.number:05d}"

    @property
    def marks(self) -> Path:
        """Where it leaves its marks."""
        return self.target.work / f"{self.name}.marks"

    @property
    def is_to_be_stopped(self) -> bool:
        """Whether it is stopped once it was accepted."""
        return SHAPES[self.shape].stopped

    def request(self, seed: int) -> dict[str, Any]:
        """The request; the operation id is the same however often it is sent."""
        shape = SHAPES[self.shape]
        script = _SCRIPT.format(middle=shape.middle, end=shape.end)
        return {
            "operation": f"crash-{seed}-{self.number}",
            "name": self.name,
            "agent": "exec",
            "task": "",
            "argv": ["/bin/sh", "-c", script, "sh", str(self.marks)],
            "broker": self.target.name,
            "cwd": str(self.target.work),
            "retries": shape.retries or None,
            "collect": [f"{self.marks.name}.made"] if shape.gives_back else None,
        }

    @property
    def gives_back(self) -> bool:
        """Whether it makes a file that its origin wants back."""
        return SHAPES[self.shape].gives_back

    def violations(self, at_origin: dict[str, Any], at_target: dict[str, Any]) -> Iterator[str]:
        """What of the promises its end breaks.

        Args:
            at_origin: the spawn as the origin shows it, terminal.
            at_target: as the target shows it.
        """
        words = self.marks.read_text().split() if self.marks.exists() else []
        who = f"{self.name} ({self.shape}, {self.origin.name} -> {self.target.name}, spawn {self.spawn})"
        if words.count("start") > 1 + SHAPES[self.shape].retries:
            yield f"{who}: started {words.count('start')} times"
        for key in ("state", "exit_code", "signal"):
            if at_origin[key] != at_target[key]:
                yield f"{who}: {key} is {at_origin[key]!r} at the origin and {at_target[key]!r} at the target"
        yield from (f"{who}: {fault}" for fault in self._wrong_word(at_origin, words))

    def _wrong_word(self, spawn: dict[str, Any], words: list[str]) -> Iterator[str]:
        shape = SHAPES[self.shape]
        if spawn["state"] == "lost":
            return
        if spawn["state"] != shape.state:
            yield f"is {spawn['state']} ({spawn['reason']}; {spawn['error']}), not {shape.state} or lost"
        elif shape.stopped:
            if "end" in words:
                yield "was stopped, and its marks say that it ran to its end"
        elif (spawn["exit_code"], spawn["signal"]) != (shape.exit_code, shape.signal):
            yield f"exit code {spawn['exit_code']}, signal {spawn['signal']}"
        elif words != [*["start"] * (1 + shape.retries), "end"]:
            yield f"is {spawn['state']}, and its marks say {words}"


def draw(rng: random.Random, count: int, nodes: Sequence[Node]) -> list[Ticket]:
    """Tasks of all shapes, over all directions and, one in eight, on the origin itself."""
    tickets = []
    for number in range(count):
        origin, target = rng.sample(nodes, 2)
        local = rng.random() < 0.125
        tickets.append(Ticket(number, rng.choice(list(SHAPES)), origin, origin if local else target))
    return tickets

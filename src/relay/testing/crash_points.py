"""The durable steps of a spawn, and what happens when a broker dies just before or just after one of them.

Each step is exercised on its own: the broker that takes it is started by `crashing.py`, a few tasks are asked
for, the broker dies at the step, is started again as usual, and the promises of `trial.py` have to hold.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from relay.testing import processes, tickets
from relay.testing.node import DAEMON, Node, NotReady
from relay.testing.tickets import Ticket
from relay.testing.trial import Trial

WHEN = ("before", "after")
REACHED_WITHIN = 15.0
SETTLED_WITHIN = 45.0
SHAPES = ("quick", "exits-7", "sleeps", "by-signal")


@dataclass(frozen=True, slots=True)
class Point:
    """One durable step.

    Attributes:
        step: what it does, in words.
        module, function: the function that does it (`Class.method` for a method).
        side: whose step it is: `origin` or `target`.
        in_transaction: it is durable at the COMMIT of the batch it is in, not on return.
    """

    step: str
    module: str
    function: str
    side: str
    in_transaction: bool = True


POINTS: dict[str, Point] = {
    "accept": Point("the request's row is written", "relay.store.spawns", "insert", "origin"),
    "post": Point("its envelope is in the outbox", "relay.store.outbox", "post", "origin"),
    "tried": Point("it is noted that the envelope may have been sent", "relay.store.outbox", "mark_tried", "origin"),
    "send": Point("envelopes are on the wire", "relay.broker.link", "Link._send_batch", "origin", False),
    "take": Point("the envelope is remembered, with its effect", "relay.store.inbox", "take", "target"),
    "receipted": Point("the receipt clears the outbox", "relay.store.outbox", "receipted", "origin"),
    "attempt": Point("the attempt's row is written", "relay.store.attempts", "prepare", "target"),
    "folder": Point("the attempt's folder and record exist", "relay.spawn.attempt", "Attempt.prepare", "target", False),
    "launch": Point("the fork server is asked", "relay.spawn.launcher", "Launcher.launch", "target", False),
    "started": Point("the start is noted", "relay.store.attempts", "started", "target"),
    "ended": Point("the end is noted, with the result in the outbox", "relay.store.attempts", "ended", "target"),
    "snapshot": Point("the target's word is kept by the origin", "relay.store.spawns", "apply_snapshot", "origin"),
}


def cases() -> Iterator[tuple[str, str]]:
    """Every step, before and after."""
    return itertools.product(POINTS, WHEN)


def launcher(point: str, when: str, nth: int) -> tuple[str, ...]:
    """The words that start a broker which dies at a step."""
    words = ("--point", point, "--when", when, "--nth", str(nth), "--")
    return (sys.executable, "-m", "relay.testing.crashing", *words)


def _tasks(trial: Trial, origin: Node, target: Node) -> list[Ticket]:
    first = len(trial.tickets)
    return [tickets.Ticket(first + at, shape, origin, target) for at, shape in enumerate(SHAPES)]


def _die_at(victim: Node, point: str, when: str, nth: int) -> None:
    victim.stop()
    victim.launcher = launcher(point, when, nth)
    with suppress(NotReady):  # the step came before it was ready; its end is awaited all the same
        victim.start()


def exercise(trial: Trial, point: str, when: str, rng: random.Random) -> None:
    """Let a broker die at a step, start it again, and wait for every task to end; faults are in `trial.violations`.

    Args:
        trial: the run; its tickets grow by four.
        point: a name in `POINTS`.
        when: `before` or `after`.
        rng: draws the direction and which occurrence of the step it is.
    """
    nodes = list(trial.nodes)
    rng.shuffle(nodes)
    origin, target = nodes
    victim = origin if POINTS[point].side == "origin" else target
    _die_at(victim, point, when, rng.randint(1, 2))
    asked = _tasks(trial, origin, target)
    trial.tickets += asked
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = [pool.submit(trial.submit, ticket) for ticket in asked]
        try:
            processes.wait_until(lambda: not victim.running, REACHED_WITHIN, "the step")
        except TimeoutError:
            trial.violations.append(f"{point}: {victim.name} did not get to this step")
            victim.kill()
        victim.launcher = DAEMON
        victim.start()
        for answer in answers:
            answer.result()
    trial.settle(SETTLED_WITHIN)

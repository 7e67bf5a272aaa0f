"""The durable steps of a spawn, and what happens when a broker dies just before or just after one of them.

Each step is exercised on its own: the broker that takes it is started by `crashing.py`, a few tasks are asked
for, the broker dies at the step, is started again as usual, and the promises of `trial.py` have to hold.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException

from relay.testing import processes
from relay.testing.node import DAEMON, Node, NotReady
from relay.testing.tickets import Ticket
from relay.testing.trial import Trial

WHEN = ("before", "after")
BURSTS = 4
REACHED_WITHIN = 3.0
SETTLED_WITHIN = 45.0
MOST_SHAPES = 5


@dataclass(frozen=True, slots=True)
class Point:
    """One durable step.

    Attributes:
        step: what it does, in words.
        module, function: the function that does it (`Class.method` for a method).
        side: whose step it is: `origin` or `target`.
        in_transaction: it is durable at the COMMIT of the batch it is in, not on return.
        peer_away: it is taken only for what was asked while the peer was away.
        seldom: a burst of tasks may take it once only.
        shapes: the tasks of a burst.
        apart: no burst of tasks takes it; the test file that does, by a scene of its own.
    """

    step: str
    module: str
    function: str
    side: str
    in_transaction: bool = True
    peer_away: bool = False
    seldom: bool = False
    shapes: tuple[str, ...] = ("quick", "exits-7", "sleeps", "by-signal", "stopped")
    apart: str = ""


POINTS: dict[str, Point] = {
    "accept": Point("the request's row is written", "relay.store.spawns", "insert", "origin"),
    "post": Point("its envelope is in the outbox", "relay.store.outbox", "post", "origin"),
    "tried": Point(
        "it is noted that the envelope may have been sent", "relay.store.outbox", "mark_tried", "origin", peer_away=True
    ),
    "send": Point("envelopes are on the wire", "relay.broker.sending", "Sending._send_batch", "origin", False),
    "take": Point("the envelope is remembered, with its effect", "relay.store.inbox", "take", "target"),
    "receipted": Point("the receipt clears the outbox", "relay.store.outbox", "receipted", "origin"),
    "attempt": Point("the attempt's row is written", "relay.store.attempts", "prepare", "target"),
    "folder": Point(
        "the attempt's folder and record exist",
        "relay.spawn.attempting",
        "Attempting._prepared",
        "target",
        False,
        seldom=True,
        shapes=("retried", "retried", "quick"),  # a second attempt is not asked for ahead
    ),
    "ahead": Point(
        "a shim is asked for, ahead of the commit",
        "relay.spawn.attempting",
        "Attempting.ahead",
        "target",
        False,
        seldom=True,
    ),
    "named": Point(
        "the folder that was held has its name", "relay.spawn.spares", "Held.take", "target", False, seldom=True
    ),
    "let-go": Point(
        "the shim that was asked for ahead may begin",
        "relay.spawn.spares",
        "Held.release",
        "target",
        False,
        seldom=True,
    ),
    "spares": Point("folders are made ahead", "relay.spawn.spares", "_make", "target", False, seldom=True),
    "launch": Point("the fork server is asked", "relay.spawn.launcher", "Launcher.ask", "target", False),
    "started": Point("the start is noted", "relay.store.attempts", "started", "target", seldom=True),
    # few, so that none waits for a slot: what has not started is stopped without a wish
    "stop": Point(
        "the wish to stop is noted", "relay.store.spawns", "request_stop", "target", seldom=True, shapes=("stopped",)
    ),
    "ended": Point("the end is noted, with the result in the outbox", "relay.store.attempts", "ended", "target"),
    "retry": Point(
        "the failed attempt is kept, and another one is to follow",
        "relay.store.queueing",
        "keep_try",
        "target",
        shapes=("retried", "retried", "quick"),
    ),
    "collect": Point(
        "a file that was made is kept, for its origin",
        "relay.broker.blobs.library",
        "Library._kept",
        "target",
        False,
        seldom=True,
        shapes=("gives-back", "gives-back", "quick"),
    ),
    "fetch": Point(
        "a file that was made is here, at its origin",
        "relay.broker.blobs.offers",
        "Offers.arrived",
        "origin",
        seldom=True,
        shapes=("gives-back", "gives-back", "quick"),
    ),
    "due": Point(
        "a due time of a schedule is acted on, with its run",
        "relay.store.schedules",
        "act_on",
        "target",
        apart="tests/e2e/test_schedules.py",
    ),
    "answer": Point(
        "what a person sent is kept for the task, with the word that it was",
        "relay.store.questions",
        "type_in",
        "target",
        apart="tests/chaos/test_crash_points.py",
    ),
    "answered": Point(
        "what became of an answer is kept by who gave it",
        "relay.store.answers",
        "settle",
        "origin",
        apart="tests/chaos/test_crash_points.py",
    ),
    "notify.write": Point(
        "what a person is to be told is written down, with what happened",
        "relay.store.deliveries",
        "add",
        "origin",
        apart="tests/notify/test_crashes.py",
    ),
    "notify.begin": Point(
        "a try to tell it begins",
        "relay.store.deliveries",
        "begin",
        "origin",
        apart="tests/notify/test_crashes.py",
    ),
    "notify.send": Point(
        "its process sends",
        "relay.broker.notify.sending",
        "Senders.send",
        "origin",
        in_transaction=False,
        apart="tests/notify/test_crashes.py",
    ),
    "notify.finish": Point(
        "how the try went is written down",
        "relay.store.deliveries",
        "finish",
        "origin",
        apart="tests/notify/test_crashes.py",
    ),
    "call.accept": Point(
        "a call's row is written, by who asks or by who runs it",
        "relay.store.calls",
        "insert",
        "target",
        apart="tests/tools/test_crashes.py",
    ),
    "call.claim": Point(
        "a call is claimed for the program that is to run it",
        "relay.store.calls",
        "claim",
        "target",
        apart="tests/tools/test_crashes.py",
    ),
    "call.give": Point(
        "a call is given to its program",
        "relay.broker.tools.programs",
        "Program.give",
        "target",
        in_transaction=False,
        apart="tests/tools/test_crashes.py",
    ),
    "call.word": Point(
        "a word on a call is kept, by who runs it or by who asked",
        "relay.store.calls",
        "apply",
        "target",
        apart="tests/tools/test_crashes.py",
    ),
    "call.kept": Point(
        "a program is told that its result is kept",
        "relay.broker.tools.programs",
        "Program.kept",
        "target",
        in_transaction=False,
        apart="tests/tools/test_crashes.py",
    ),
    "snapshot": Point("the target's word is kept by the origin", "relay.store.spawns", "apply_snapshot", "origin"),
}


def cases() -> Iterator[tuple[str, str]]:
    """Every step that tasks take, before and after."""
    return itertools.product((name for name, point in POINTS.items() if not point.apart), WHEN)


def launcher(point: str, when: str, nth: int) -> tuple[str, ...]:
    """The words that start a broker which dies at a step."""
    words = ("--point", point, "--when", when, "--nth", str(nth), "--")
    return (sys.executable, "-m", "relay.testing.crashing", *words)


def _tasks(trial: Trial, origin: Node, target: Node, shapes: tuple[str, ...]) -> list[Ticket]:
    first = len(trial.tickets)
    asked = [Ticket(first + at, shape, origin, target) for at, shape in enumerate(shapes)]
    trial.tickets += asked
    return asked


def _set_trap(victim: Node, point: str, when: str, nth: int) -> None:
    victim.stop()
    victim.launcher = launcher(point, when, nth)
    with suppress(NotReady):  # the step came before it was ready; its end is awaited all the same
        victim.start()


def _dies(victim: Node) -> bool:
    try:
        return processes.wait_until(lambda: not victim.running, REACHED_WITHIN, "the step")
    except TimeoutError:
        return False


def exercise(trial: Trial, point: str, when: str, rng: random.Random) -> None:
    """Let a broker die at a step, start it again, and wait for every task to end; faults are in `trial.violations`.

    Args:
        trial: the run; its tickets grow by bursts, until the broker has died.
        point: a name in `POINTS`.
        when: `before` or `after`.
        rng: draws the direction and which occurrence of the step it is.
    """
    first = len(trial.tickets)
    origin, target = rng.sample(trial.nodes, 2)
    victim = origin if POINTS[point].side == "origin" else target
    _set_trap(victim, point, when, 1 if POINTS[point].seldom else rng.randint(1, 2))
    answers: list[Future[None]] = []
    with ThreadPoolExecutor(BURSTS * MOST_SHAPES) as pool:
        died = any(_burst(trial, origin, target, pool, answers, POINTS[point]) for _ in range(BURSTS))
        if not died:
            trial.violations.append(f"{point}: {victim.name} did not get to this step")
            victim.kill()
        victim.launcher = DAEMON
        victim.start()
        for answer in answers:
            answer.result()
    trial.settle(SETTLED_WITHIN, since=first)
    trial.await_files(SETTLED_WITHIN, since=first)


def _await_link(origin: Node, target: Node) -> None:
    """Wait until the two are linked, or one has died: what is asked earlier may be taken back before it is sent."""

    def linked_or_dead() -> bool:
        return not (origin.running and target.running) or origin.status()["links"] > 0

    with suppress(TimeoutError, OSError, HTTPException):
        processes.wait_until(linked_or_dead, REACHED_WITHIN, "the link")


def _burst(
    trial: Trial, origin: Node, target: Node, pool: ThreadPoolExecutor, answers: list[Future[None]], point: Point
) -> bool:
    """Ask for one task of each shape; whether one of the two brokers has died of it."""
    if point.peer_away:
        target.stop()
    else:
        _await_link(origin, target)
    asked = [pool.submit(trial.submit, ticket) for ticket in _tasks(trial, origin, target, point.shapes)]
    answers += asked
    if point.peer_away:
        wait(asked, REACHED_WITHIN)
        target.start()
    victim = next(node for node in (origin, target) if node.launcher != DAEMON)
    return _dies(victim)

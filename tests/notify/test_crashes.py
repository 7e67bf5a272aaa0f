"""The broker that tells is killed at each step: each event is told, and at most once more, under the same id."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator

import pytest

from relay.testing import crash_points
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh, relay, relay_json
from tests.notify.receiver import Receiver
from tests.notify.test_hostile import PATIENT

STEPS = ("notify.write", "notify.begin", "notify.send", "notify.finish")
OFTEN = {("notify.write", "before"), ("notify.begin", "after"), ("notify.send", "after")}
CASES = [
    pytest.param(point, when, marks=() if (point, when) in OFTEN else pytest.mark.chaos)
    for point in STEPS
    for when in crash_points.WHEN
]


@pytest.fixture(scope="module")
def _told() -> Iterator[tuple[Node, Receiver]]:
    with Receiver() as receiver, Mesh.scratch("relay-notify-") as mesh:
        node = mesh.add("laptop")
        done = relay(node, "notify", "add", "hook", typed=f"{receiver.webhook('hook')}{PATIENT}".encode())
        assert done.returncode == 0, done.stderr
        yield node, receiver


@pytest.fixture
def told(_told: tuple[Node, Receiver]) -> tuple[Node, Receiver]:
    _told[1].heal()
    return _told


def ask(node: Node) -> tuple[str, str]:
    name = fresh("crash")
    words = ("spawn", name, "shell", "sleep 0.3; exit 3", "--cwd", str(node.work), "--timeout", "90s")
    return name, str(relay_json(node, *words)["id"])


def settled(node: Node, spawn: str) -> dict[str, object]:
    """The delivery, once it is over."""

    def found() -> dict[str, object] | None:
        with node.control() as control:
            (delivery,) = control.get(f"notify/sent?spawn={spawn}") or [None]
        return delivery if delivery and delivery["ended"] else None

    return wait_until(found, 30, "the delivery to be over") or {}


@pytest.mark.parametrize(("point", "when"), CASES)
def test_an_event_is_told_whoever_dies_at_it(told: tuple[Node, Receiver], point: str, when: str) -> None:
    node, receiver = told
    node.stop()
    node.launcher = crash_points.launcher(point, when, 1)
    node.start()
    name, spawn = ask(node)
    wait_until(lambda: not node.running, 30, f"its death {when} {point}")
    node.launcher = DAEMON
    node.start()
    assert settled(node, spawn)["state"] == "delivered"
    came = receiver.told_of(name)
    assert len(came) == 1 and came[0].title == f"{name} on laptop ran into trouble: the task ended with exit code 3"
    with node.control() as control:
        control.post("notify/hook/test", {})
    assert [each.title.startswith("Relay on laptop") for each in receiver.got] == [False, True]


def test_what_was_cut_off_inside_the_request_is_told_once_more_under_the_same_id(told: tuple[Node, Receiver]) -> None:
    node, receiver = told
    receiver.on_request = lambda: node.kill() if len(receiver.got) == 1 else None  # type: ignore[assignment]
    name, spawn = ask(node)
    wait_until(lambda: not node.running, 30, "its death in the middle")
    node.start()
    delivery = settled(node, spawn)
    came = receiver.told_of(name)
    assert delivery["state"] == "delivered" and delivery["tries"] == 2
    assert len(came) == 2 and {each.event for each in came} == {delivery["event"]}


def test_what_a_clock_that_was_ahead_put_off_is_told_by_the_right_one(told: tuple[Node, Receiver]) -> None:
    node, receiver = told
    receiver.down.add("hook")
    name, spawn = ask(node)
    with node.control() as control:
        wait_until(lambda: [each for each in control.get(f"notify/sent?spawn={spawn}") if each["error"]], 30, "a try")
    node.kill()
    with contextlib.closing(sqlite3.connect(node.home / "relay.db", isolation_level=None)) as store:
        years = "due = due + 300000000000, created = created + 300000000000"
        store.execute(f"UPDATE notify_deliveries SET {years} WHERE ended IS NULL")
    receiver.down.clear()
    node.start()
    assert settled(node, spawn)["state"] == "delivered" and receiver.told_of(name)


@pytest.mark.chaos
def test_what_is_cut_off_there_twice_is_not_told_a_third_time(told: tuple[Node, Receiver]) -> None:
    node, receiver = told
    receiver.on_request = lambda: node.kill() and None  # type: ignore[assignment]
    name, spawn = ask(node)
    for _ in range(2):
        wait_until(lambda: not node.running, 30, "its death in the middle")
        node.start()
    assert settled(node, spawn)["state"] == "unsure"
    assert len(receiver.told_of(name)) == 2


def test_what_is_told_together_is_cut_off_and_told_again_together(told: tuple[Node, Receiver]) -> None:
    """One alone, then fourteen as one word, in which the broker dies: none is lost, none is told alone as well."""
    node, receiver = told
    come = threading.Event()

    def act() -> None:
        if len(receiver.got) == 1:
            come.wait(40)
        elif len(receiver.got) == 2:
            node.kill()

    receiver.on_request = act
    try:
        spawns = [ask(node)[1] for _ in range(15)]
        with node.control() as control:
            asked = [f"notify/sent?spawn={each}" for each in spawns]
            wait_until(lambda: all(map(control.get, asked)), 30, "all to have ended")
    finally:
        come.set()
    wait_until(lambda: not node.running, 30, "its death in the middle")
    node.start()
    tries = sorted(settled(node, each)["tries"] for each in spawns)  # type: ignore[type-var]
    assert tries == [1] + [2] * 14
    titles = [each.title for each in receiver.got]
    assert titles[1:] == ["14 spawns: 14 ran into trouble"] * 2
    assert receiver.got[1].text == receiver.got[2].text

"""What a queue that moves tells the origins of what waits in it, between two real brokers."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import pairwise

import pytest

from relay.api.durations import moment
from relay.spawn.succession import AT_ONCE
from relay.testing import processes
from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene, relay, relay_json

MANY = 40


@pytest.fixture(scope="module")
def one_slot() -> Iterator[Scene]:
    """One slot on vps, for everybody."""
    with Mesh.scratch("relay-motion-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        vps.stop()
        vps.configure("max_parallel = 1")
        scene = Scene(mesh, laptop, vps)
        scene.heal()
        scene.grant()
        yield scene


def _begun(scene: Scene, script: str) -> str:
    place = {"broker": "vps", "cwd": str(scene.vps.work)}
    with scene.laptop.control() as control:
        order = {"name": "-", "agent": "exec", "task": "", "argv": ["/bin/sh", "-c", script], **place}
        return str(control.post("spawns", order)["id"])


def _told_to_wait(scene: Scene, spawn: str) -> bool:
    """Whether the origin has the target's word that it waits."""
    return any(step["state"] == "waiting" for step in scene.show(spawn, scene.laptop)["timeline"])


def _is_told_to_wait(scene: Scene, spawn: str, seconds: float) -> None:
    processes.wait_until(lambda: _told_to_wait(scene, spawn), seconds, f"the origin to be told that {spawn} waits")


def test_what_gets_its_turn_in_a_queue_that_moves_is_not_told_to_wait(one_slot: Scene) -> None:
    spawns = [_begun(one_slot, "true") for _ in range(MANY)]
    for spawn in spawns:
        one_slot.until(spawn, "completed")
    told = [spawn for spawn in spawns if _told_to_wait(one_slot, spawn)]
    moved = _moved(one_slot, spawns)
    assert len({*told} & moved) <= len(moved) // 4, f"{len(told)} of {MANY} cost a word more"


def _moved(scene: Scene, spawns: list[str]) -> set[str]:
    """For which of these the queue moved: less than 2 s long, and each 100 ms; on a busy machine it does so for few."""
    shown = [scene.show(each, scene.vps) for each in spawns]
    steps = sorted(moment(each[key]) for each in shown for key in ("started", "ended"))
    found = set()
    for each in shown:
        to = moment(each["started"])
        since = to - each["durations"]["waiting_s"]
        met = [since, *(step for step in steps if since < step < to), to]
        if to - since < 2 and max(later - sooner for sooner, later in pairwise(met)) < 0.1:
            found.add(str(each["id"]))
    return found


def test_what_waits_in_a_queue_that_rests_is_told_at_once_and_in_one_that_moves_in_time(one_slot: Scene) -> None:
    holding = _begun(one_slot, "sleep 80")
    one_slot.until(holding, "running")
    for left in (2, 1, 0):
        waiting = _begun(one_slot, "true")
        try:
            _is_told_to_wait(one_slot, waiting, 2)  # in a queue that moves it is later
            break
        except TimeoutError:  # a broker may have been kept from running: not each time
            assert left
    with one_slot.laptop.control() as control:
        control.post(f"spawns/{holding}/stop", {})
    one_slot.until(waiting, "completed")
    moving = [_begun(one_slot, "sleep 0.1") for _ in range(MANY)]
    _is_told_to_wait(one_slot, moving[-1], 10)
    for spawn in moving:
        one_slot.until(spawn, "completed")


def test_what_cannot_start_anyway_is_ahead_of_nobody(one_slot: Scene) -> None:
    """Of few that are asked about one by one, and of many in one pass."""
    runs = one_slot.begin("sleep 60")
    one_slot.until(runs, "running")
    kept = [one_slot.begin("true", *later) for later in (("--at", "1h"), ("--after", runs))]
    waits = [one_slot.begin("true")]
    one_slot.until(waits[0], "waiting")
    assert one_slot.show(waits[0], one_slot.vps)["reason"] == "1 of 1 slots busy, 0 ahead"
    waits += [one_slot.begin("true") for _ in range(3)]
    one_slot.until(waits[-1], "waiting")
    listed = {spawn["id"]: spawn["reason"] for spawn in relay_json(one_slot.vps, "queue")}
    assert [listed[spawn] for spawn in waits] == [f"1 of 1 slots busy, {n} ahead" for n in range(4)]
    relay(one_slot.laptop, "stop", *kept, *waits, runs)


def test_how_a_predecessor_stands_is_told_anew_once_the_queue_rests(one_slot: Scene) -> None:
    holding, first = one_slot.begin("sleep 60"), one_slot.begin("sleep 60")
    after = one_slot.begin("true", "--after", first)

    def is_told(state: str) -> None:
        told = lambda: one_slot.show(after, one_slot.laptop)["reason"].endswith(f" ({state})")  # noqa: E731
        processes.wait_until(told, 10, f"the origin to be told that what comes before is {state}")

    is_told("waiting")
    relay(one_slot.laptop, "stop", holding)
    is_told("running")
    relay(one_slot.laptop, "stop", after, first)


def test_status_says_that_nothing_starts_and_who_wanted_it_so(one_slot: Scene) -> None:
    assert b"\nqueue:" not in relay(one_slot.vps, "status").stdout
    waits = one_slot.begin("true", "--at", "1h")
    one_slot.until(waits, "waiting")
    relay(one_slot.laptop, "pause", waits)
    relay(one_slot.vps, "queue", "pause", LOGNAME="ann")
    told = len(one_slot.show(waits, on=one_slot.vps)["timeline"])
    for words in (("queue", "pause"), ("pause", waits)):
        relay(one_slot.vps, *words, LOGNAME="bob")
    assert len(one_slot.show(waits, on=one_slot.vps)["timeline"]) == told, "it stood so already"
    relay(one_slot.laptop, "stop", waits)
    assert b"\nqueue:     paused by ann for " in relay(one_slot.vps, "status").stdout
    relay(one_slot.vps, "queue", "resume")


def test_very_many_that_come_after_one_are_told_of_its_end_in_parts_and_over_a_kill(one_slot: Scene) -> None:
    vps = one_slot.vps
    many, wait = 2 * AT_ONCE + 10, {"agent": "exec", "argv": ["true"], "cwd": str(vps.work)}
    with vps.control() as control:
        holds = control.spawn("sleep", "60", cwd=str(vps.work))["id"]
        head = control.spawn("true", cwd=str(vps.work), timeout_s=5)["id"]
        failing = [control.post("spawns", {"name": "-", **wait, "after": [head]})["id"] for _ in range(many)]
        freed = control.post("spawns", {"name": "-", **wait, "after_any": [head], "priority": -1})["id"]
        control.post(f"spawns/{head}/stop", {})
        vps.kill()
    vps.start()
    for spawn in failing:
        assert one_slot.until(spawn, "cancelled", on=vps)["error"]["code"] == "predecessor_failed"
    processes.wait_until(lambda: "slots busy" in one_slot.show(freed, vps)["reason"], 10, "the last to wait for a slot")
    vps.kill()
    with contextlib.closing(sqlite3.connect(vps.home / "relay.db")) as store, store:  # as if cut off between two parts
        store.execute("UPDATE predecessors SET met = 0 WHERE spawn = ?", (freed,))
    vps.start()
    relay(vps, "stop", holds)
    one_slot.until(freed, "completed", on=vps)

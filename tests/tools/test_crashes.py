"""Whoever dies, at whichever step of a call: it runs at most once, and its caller learns how it ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest

from relay.testing import crash_points
from relay.testing.node import DAEMON, Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh
from tests.tools.conftest import Call, Ground

# which broker dies, at which of its own steps of this kind: the call is the first thing that it does
STEPS = {
    ("laptop", "call.accept", 1): "its request is written down",
    ("laptop", "call.word", 1): "its end is known to its caller",
    ("vps", "call.accept", 1): "it is taken in",
    ("vps", "call.claim", 1): "it is claimed for its program",
    ("vps", "call.give", 1): "it is given to its program",
    ("vps", "call.word", 2): "its end is written down",
    ("vps", "call.kept", 1): "its program is told that its result is kept",
}
OFTEN = {
    ("laptop", "call.accept", "after"),
    ("laptop", "call.word", "before"),
    ("vps", "call.claim", "after"),
    ("vps", "call.give", "after"),
    ("vps", "call.word", "before"),
    ("vps", "call.word", "after"),
}
CASES = [
    pytest.param(who, point, nth, when, marks=() if (who, point, when) in OFTEN else pytest.mark.chaos)
    for (who, point, nth) in STEPS
    for when in crash_points.WHEN
]


def insist(ground: Ground, tool: str, operation: str) -> Call:
    """Ask until the call is accepted: under one operation, so that it acts once."""

    def asked() -> Call | None:
        try:
            return ground.call(tool, wait_s=0, operation=operation)
        except (OSError, HTTPException):
            return None  # it is dead, or was just now

    return wait_until(asked, 30, "the call to be accepted") or {}


@pytest.mark.parametrize(("who", "point", "nth", "when"), CASES)
def test_a_broker_that_dies_at_a_step_of_a_call_runs_it_once(
    ground: Ground, who: str, point: str, nth: int, when: str
) -> None:
    tool, operation = fresh("tool"), fresh("crash-operation")
    program = ground.serve(tool)
    victim: Node = ground.mesh.nodes[who]
    victim.stop()
    victim.launcher = crash_points.launcher(point, when, nth)
    victim.start()
    ground.mesh.await_link(ground.laptop, ground.vps)
    wait_until(lambda: ground.tool(ground.vps, tool, served=True), 20, "its program to be connected")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(insist, ground, tool, operation)
        wait_until(lambda: not victim.running, 20, f"the death of {who} {when} {point}")
        victim.launcher = DAEMON
        victim.start()
        call = asking.result()
    done = ground.ended(call["id"])
    # its program lives, and says what it holds: no crash of a broker is a reason for another end than the real one
    assert done["state"] == "completed", done
    assert program.lines("ran") == [call["id"]] and program.lines("twice") == []


@pytest.mark.parametrize(
    ("step", "state"),
    [("given", "lost"), ("entered", "lost"), ("running", "lost"), ("ended", "lost"), ("told", "completed")],
)
def test_a_program_that_dies_leaves_what_it_had_as_lost_and_never_runs_it_again(
    ground: Ground, step: str, state: str
) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    call = ground.call(tool, wait_s=0, arguments={"die": step})
    program.process.wait(20)
    again = ground.serve(tool)
    done = ground.ended(call["id"])
    # a result that was sent may have been read before the end of its program was seen, or not
    assert done["state"] in {state, "lost"}, done
    if done["state"] == "lost":
        assert done["error"]["code"] == "runner_lost" and "it may have acted" in done["reason"]
        assert done["spoken"].startswith("Lost on vps: its program on vps has ended; it may have acted")
    assert len(program.lines("ran")) <= 1 and again.lines("ran") == []


def test_a_program_that_dies_while_its_broker_is_down_is_found_out(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})
    ground.reaches(call["id"], "running")
    ground.vps.kill()
    program.kill()
    ground.vps.start()
    done = ground.ended(call["id"])
    assert done["state"] == "lost" and "it may have acted" in done["reason"], done


def test_what_ends_while_its_broker_is_down_is_told_when_it_is_back(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})
    ground.reaches(call["id"], "running")
    ground.vps.kill()
    gate.touch()
    wait_until(lambda: program.lines("ended"), 10, "its end")
    ground.laptop.restart()
    assert ground.ended(call["id"], 0)["state"] == "running"
    ground.vps.start()
    assert ground.ended(call["id"])["state"] == "completed" and program.lines("ran") == [call["id"]]


def test_a_broker_that_stops_in_order_loses_no_call(ground: Ground) -> None:
    tool = fresh("tool")
    program = ground.serve(tool)
    gate = ground.vps.scratch / fresh("gate")
    call = ground.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})
    ground.reaches(call["id"], "running")
    ground.vps.stop()
    ground.vps.start()
    wait_until(lambda: ground.tool(ground.vps, tool, served=True), 20, "its program to be back")
    gate.touch()
    assert ground.ended(call["id"])["state"] == "completed" and program.lines("ran") == [call["id"]]

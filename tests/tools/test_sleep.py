"""What is said of calls and tools outlives any sleep, and what is forgotten is what nobody waits for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing import clocked
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh
from tests.tools.conftest import Ground, Served
from tests.tools.program import definition

DAY = 86_400


@pytest.fixture
def alone() -> Iterator[Ground]:
    """A ground of the test's own: its clocks are set."""
    with Mesh.scratch("relay-toolsleep-") as mesh:
        ground = Ground(mesh)
        ground.allow()
        yield ground
        for program in ground.served:
            program.kill()


def _rows(node: Node, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{node.home}/relay.db?mode=ro", uri=True)) as store:
        return store.execute(sql).fetchall()


def test_a_result_and_a_catalogue_outlive_forty_days(alone: Ground) -> None:
    tool = fresh("tool")
    alone.serve(tool)
    gate = alone.vps.scratch / "gate"
    # one result is in pieces, which are sealed again like the word that they belong to
    whole = alone.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate), "then": "x" * 230_000})
    short = alone.call(tool, wait_s=0, arguments={"do": "wait", "gate": str(gate)})
    for each in (whole, short):
        alone.reaches(each["id"], "running")
    alone.laptop.kill()
    gate.touch()
    for each in (whole, short):
        assert alone.ended(each["id"], 20, on=alone.vps)["state"] == "completed"
    assert alone.call(tool, on=alone.vps, arguments={"do": "change"})["state"] == "completed"
    alone.vps.stop()
    for node in (alone.laptop, alone.vps):
        node.launcher = clocked.launcher(40 * DAY)
    alone.vps.start()
    alone.laptop.start()
    for each in (whole, short):
        done = alone.ended(each["id"])
        assert done["state"] == "completed", done
    assert len(json.loads(alone.ended(whole["id"], 0)["result"]["content"][0]["text"])["then"]) == 230_000
    changed = definition(tool, "2")
    wait_until(lambda: alone.tool(alone.laptop, tool, definition=changed), 20, "the change to be told")
    wait_until(lambda: alone.vps.relay_json("outbox")["outgoing"] == [], 20, "the receipts")
    assert alone.vps.relay_json("outbox")["dead"] == [] and alone.call(tool)["state"] == "completed"


def test_the_time_that_a_machine_sleeps_is_none_of_its_calls_time() -> None:
    """Its clock is set an hour further, as it is after a sleep of an hour; nothing else has gone on.

    And set back it gives no call an hour more.
    """
    with Mesh.scratch("relay-toolsleep-") as mesh:
        node = mesh.add("mini", started=False)
        node.launcher = clocked.launcher(-3_600)
        node.start()
        tool, gate = fresh("tool"), node.scratch / "gate"
        program = Served(node, (tool,), "t", "library", "test", 16)
        try:
            with node.control() as control:
                wait_until(lambda: control.get("tools")["tools"], 20, "the runner to be there")
                asked = {"tool": tool, "arguments": {"do": "wait", "gate": str(gate)}, "timeout_s": 600}
                slept = control.post("calls", asked)["id"]
                wait_until(lambda: program.lines("ran"), 20, "it to run")
                assert node.process is not None
                os.kill(node.process.pid, signal.SIGUSR1)
                # its own time is up, so that all of them are looked at
                other = control.post("calls", asked | {"timeout_s": 1, "wait_s": 20})
                assert (other["state"], control.get(f"calls/{slept}")["state"]) == ("timed_out", "running")
                gate.touch()
                assert control.get(f"calls/{slept}?wait_s=20")["state"] == "completed"
                shut = {"do": "wait", "gate": str(node.scratch / "shut")}
                ahead = control.post("calls", asked | {"arguments": shut, "timeout_s": 2})["id"]
                begun = ("running", "timed_out")  # by then, on a busy machine
                wait_until(lambda: control.get(f"calls/{ahead}")["state"] in begun, 20, "it to run")
                os.kill(node.process.pid, signal.SIGUSR2)
                wait_until(lambda: control.get(f"calls/{ahead}")["state"] == "timed_out", 20, "its time to be up")
        finally:
            program.kill()


def test_ended_calls_are_forgotten_in_time_and_what_is_served_is_not(alone: Ground) -> None:
    tool = fresh("tool")
    alone.serve(tool)
    old = alone.call(tool, arguments={"do": "big", "size": 100_000})["id"]
    kept = "SELECT id FROM calls"
    assert _rows(alone.laptop, kept) == _rows(alone.vps, kept) == [(old,)]
    for node in (alone.laptop, alone.vps):
        node.stop()
        node.configure('retention = "1d"')
        node.launcher = clocked.launcher(5 * DAY)
        node.start()
    for node in (alone.laptop, alone.vps):
        wait_until(lambda node=node: _rows(node, kept) == [], 90, "it to be forgotten", every=0.5)  # type: ignore[misc]
    assert alone.call(tool)["state"] == "completed"

"""What is said of calls and tools outlives any sleep, and what is forgotten is what nobody waits for."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing import clocked
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh
from tests.tools.conftest import Ground
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

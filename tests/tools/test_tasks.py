"""Calls that tasks make carry the chain of who asked for the task: trust does not pass through its machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh
from tests.e2e.test_provenance import Three, documents
from tests.tools.conftest import Served

ASK = """
import asyncio, json, sys
from relay.api import tool_routes
from relay.api.program_link import ProgramLink
from relay.api.client import Client
from relay.api.home import Home
from relay.core.errors import RelayError

async def serve(home):
    hello = {"program": "p" * 32, "kind": "library", "title": "x", "pid": 1, "offers": [], "holding": []}
    await ProgramLink.open(home, hello)

what, *words = sys.argv[2:]
orders = {
    "call": lambda: tool_routes.call({"tool": words[0], "broker": words[1], "arguments": {}, "wait_s": 20}),
    "stop": lambda: tool_routes.stop_call(words[0]),
    "share": lambda: tool_routes.share({"name": "x", "runner": "x"}),
    "hide": lambda: tool_routes.hide("x"),
}
try:
    if what == "serve":
        asyncio.run(serve(Home(sys.argv[1])))
    print(json.dumps(Client(Home(sys.argv[1])).ask(orders[what]())))
except RelayError as error:
    print(json.dumps({"error": error.to_json()}))
"""


class Grounds(Three):
    """`c` may spawn on `a`, where a runner is shared, and one on `b`; who may call what, each test says."""

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        (mesh.folder / "ask.py").write_text(ASK)
        names = ("tool", "shell")
        self.programs = {node.name: Served(node, names, "t", "library", "test", 16) for node in (self.a, self.b)}
        for node in (self.a, self.b):
            with node.control() as control:
                wait_until(lambda control=control: control.get("tools")["tools"], 20, "the runner")  # type: ignore[misc]

    def allow(self, on: Node, to: Node) -> None:
        on.relay("trust", "allow", to.id, "--verb", "tool")

    def asked(self, *words: str, on: Node | None = None) -> list[Any]:
        """What is answered to a task on a that asks so, one after the other."""
        node = on or self.a
        asking = f"{sys.executable} {self.mesh.folder}/ask.py {node.home}"
        _, printed = self.inside("; ".join(f"{asking} {each}" for each in words))
        return documents(printed)


@pytest.fixture(scope="module")
def _grounds() -> Iterator[Grounds]:
    with Mesh.scratch("relay-toolprov-") as mesh:
        grounds = Grounds(mesh)
        yield grounds
        for program in grounds.programs.values():
            program.kill()


@pytest.fixture
def grounds(_grounds: Grounds) -> Grounds:
    _grounds.heal()
    return _grounds


def test_a_task_s_call_is_refused_until_its_asker_may_call_there_as_well(grounds: Grounds) -> None:
    grounds.allow(grounds.b, grounds.a)
    before = len(grounds.programs["b"].lines("ran"))
    [refused] = grounds.asked("call tool b")
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "no_grant"), refused
    assert "c may do nothing on b" in refused["error"]["message"]
    assert len(grounds.programs["b"].lines("ran")) == before
    grounds.allow(grounds.b, grounds.c)
    [done] = grounds.asked("call tool b")
    assert done["state"] == "completed" and done["chain"] == [grounds.c.id], done
    with grounds.b.control() as control:
        assert control.get(f"calls/{done['id']}")["chain"] == [grounds.c.id]


def test_a_task_s_call_of_a_runner_of_its_own_machine_is_judged_too(grounds: Grounds) -> None:
    # a runner that is called as the task's own agent is, is no part of that agent's grant
    for refused in grounds.asked("call tool a", "call shell a"):
        assert refused["error"]["code"] == "no_verb" and refused["chain"] == [grounds.c.id], refused
    grounds.a.relay("trust", "allow", grounds.c.id, "--verb", "tool")
    [done] = grounds.asked("call tool a")
    assert done["state"] == "completed"


def test_a_task_of_a_task_is_too_deep_to_call(grounds: Grounds) -> None:
    grounds.allow(grounds.b, grounds.a)
    grounds.allow(grounds.b, grounds.c)
    asking = f"{sys.executable} {grounds.mesh.folder}/ask.py {grounds.a.home} call tool b"
    script = grounds.a.work / fresh("script")
    script.write_text(asking)
    inner = f"{sys.executable} -m relay --json spawn - shell 'sh {script}' --cwd {grounds.a.work} --wait"
    _, printed = grounds.inside(inner)
    [done] = documents(printed)
    [deep] = documents(grounds.a.relay("logs", done["id"]).stdout)
    assert deep["error"]["code"] == "too_deep", deep


def test_a_task_shares_and_hides_nothing_and_stops_its_own_calls_alone(grounds: Grounds) -> None:
    with grounds.a.control() as control:
        other = control.post("calls", {"tool": "nothing", "broker": "c", "arguments": {}})["id"]
    assert [each["error"]["code"] for each in grounds.asked("share", "hide", "serve", f"stop {other}")] == [
        "task_scope"
    ] * 4
    asking = f"{sys.executable} {grounds.mesh.folder}/ask.py {grounds.a.home}"
    _, printed = grounds.inside(f"{asking} call tool b > mine; {asking} stop $(cut -d'\"' -f4 mine)")
    [stopped] = documents(printed)
    assert stopped["tool"] == "tool", json.dumps(stopped)

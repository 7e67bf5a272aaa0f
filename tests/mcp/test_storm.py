"""Calls and stops while brokers, the host, its keepers and the servers are killed at random.

Each call runs at most once, each has an end, and the end is true.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from typing import Any

import psutil
import pytest

from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay_json
from tests.mcp.sharing import host_of, seen, share, shown, until_runs

LENGTH_S = 60.0
VICTIMS = ("laptop", "vps", "both", "host", "keeper", "server", "vps and host")


class Storm:
    """Two brokers, and what was asked of the one by the other: calls by the text that only they say."""

    def __init__(self, mesh: Mesh, seed: int) -> None:
        self.draw = random.Random(seed)
        self.laptop, self.vps = mesh.pair("laptop", "vps")
        mesh.grant(on=self.vps, to=self.laptop, words=("--verb", "tool"))
        share(self.vps, "odd", self.vps.work)
        wait_until(lambda: relay_json(self.laptop, "tools")["tools"], 20, "the tools to be told")
        self.calls: dict[str, str] = {}

    def ask(self) -> None:
        """Ask until it is accepted: under one operation, so that it acts once."""
        text, tool = f"call {len(self.calls)}", self.draw.choice(("echo", "slow"))
        arguments = {"text": text, "seconds": self.draw.choice((0.2, 1.5)), "steps": 2}
        order = {"tool": tool, "broker": "vps", "arguments": arguments, "operation": uuid.uuid4().hex}

        def asked() -> Any:
            with contextlib.suppress(OSError, HTTPException), self.laptop.control() as control:
                return control.post("calls", order)["id"]

        self.calls[text] = wait_until(asked, 30, "a call to be accepted")
        if self.draw.random() < 0.25:
            self._stop(self.draw.choice(list(self.calls.values())[-6:]))

    def _stop(self, call: str) -> None:
        with contextlib.suppress(OSError, HTTPException, ControlError), self.laptop.control() as control:
            control.post(f"calls/{call}/stop", {"requested_by": "anna"})

    def kill(self) -> None:
        """Somebody."""
        victim = self.draw.choice(VICTIMS)
        with contextlib.suppress(psutil.Error, StopIteration, IndexError, TypeError, AttributeError):
            self._kill_at_vps(victim)
        for node in (self.laptop, self.vps):
            if node.name in victim or victim == "both":
                node.kill()
        for node in (self.laptop, self.vps):
            if not node.running:
                node.start()

    def _kill_at_vps(self, victim: str) -> None:
        """There may be none of that kind just now."""
        if "host" in victim:
            host_of(self.vps).kill()
        if victim == "keeper":
            next(each for each in host_of(self.vps).children() if "keeper.py" in " ".join(each.cmdline())).kill()
        if victim == "server":
            psutil.Process(int(seen(self.vps.work, "start")[-1].split()[1])).kill()

    def ends(self) -> dict[str, dict[str, Any]]:
        """How each ended."""
        until_runs(self.vps, "odd")
        found: dict[str, dict[str, Any]] = {}
        for text, call in self.calls.items():
            with standing(self.laptop, self.vps, call):
                wait_until(partial(_ended, self.laptop, call), 60, f"{call} to have ended")
            found[text] = shown(self.laptop, call)
        return found


@contextlib.contextmanager
def standing(laptop: Node, vps: Node, call: str) -> Iterator[None]:
    """What fails meanwhile is told with how both see the call."""
    try:
        yield
    except TimeoutError as late:
        late.add_note(f"laptop: {shown(laptop, call)}\nvps: {shown(vps, call)}")
        raise


def _ended(node: Node, call: str) -> bool:
    return shown(node, call)["ended"] is not None


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_runs_twice_and_each_end_is_true(seed: int) -> None:
    with Mesh.scratch("relay-hoststorm-") as mesh:
        storm = Storm(mesh, seed)
        began = time.monotonic()
        killed = began
        while time.monotonic() - began < LENGTH_S:
            storm.ask()
            if time.monotonic() - killed > storm.draw.uniform(0.3, 3):
                storm.kill()
                killed = time.monotonic()
        ends = storm.ends()
        begun = [*seen(storm.vps.work, "echo {"), *seen(storm.vps.work, "slow {")]
        runs = Counter(json.loads(line.partition(" ")[2])["text"] for line in begun)
        assert set(runs.values()) == {1}, runs.most_common(3)
        states = Counter(end["state"] for end in ends.values())
        assert states.keys() <= {"completed", "cancelled", "failed", "lost", "rejected"} and states["completed"], states
        for text, end in ends.items():
            if end["state"] == "rejected":  # on a fast machine more is asked than may wait there
                assert end["error"]["code"] == "too_many" and runs[text] == 0, end
            assert end["state"] != "completed" or runs[text] == 1, end
            assert "before it started" not in end["reason"] or runs[text] == 0, end
        storm.vps.relay("down")
        log = (storm.vps.home / "tools" / "host.log").read_text()
        assert "Traceback" not in storm.laptop.log() + storm.vps.log() + log

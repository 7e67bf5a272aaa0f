"""Two brokers behind NAT boxes that cannot reach each other, and an always-on one that carries what it cannot read."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from relay.testing import processes
from relay.testing.netns import storm
from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.storm import Plan
from relay.testing.netns.watching import is_linked
from relay.testing.node import Node
from tests.netns.scene import TERMINAL


class _Secret:
    """A task whose words nobody in between may find, and its marks."""

    def __init__(self, origin: Node, target: Node) -> None:
        self.origin = origin
        self.target = target
        self.words = f"secret-{uuid.uuid4().hex}"
        self.marks = target.work / f"{uuid.uuid4().hex}.marks"
        script = f"echo start >> {self.marks}; echo {self.words}"
        with origin.control() as control:
            self.id = control.spawn("/bin/sh", "-c", script, broker=target.name, cwd=str(target.work))["id"]

    def state(self, on: Node) -> str:
        """How a broker shows it."""
        with on.control() as control:
            rows = {row["id"]: row["state"] for row in control.spawns()}
        return str(rows.get(self.id, "unknown"))

    def until_terminal(self, on: Node) -> None:
        """Wait until a broker knows its end."""
        processes.wait_until(lambda: self.state(on) in TERMINAL, 30, f"{on.name} to know the end of {self.id}")

    def ended_once(self) -> None:
        """Expect its result at its origin, and one start."""
        self.until_terminal(self.origin)
        with self.origin.control() as control:
            row = control.get(f"spawns/{self.id}")
        assert (row["state"], row["result"]["output_tail"]) == ("completed", f"{self.words}\n"), row
        assert self.marks.read_text() == "start\n"

    def is_found_in(self, folder: Path) -> list[str]:
        """The files of a folder that hold its words, free pages of the database and its log included."""
        return [str(path) for path in folder.rglob("*") if path.is_file() and self.words.encode() in path.read_bytes()]


def _middle(mesh: InternetMesh) -> tuple[Node, Node, Node]:
    mesh.internet.site("vps")
    mesh.internet.site("laptop", behind_nat=True)
    mesh.internet.site("mini", behind_nat=True)
    vps = mesh.add("vps")
    vps.relay("config", "set", "always_on", "true")
    vps.restart()
    laptop, mini = mesh.join(vps, "laptop"), mesh.join(vps, "mini")
    mesh.grant(on=mini, to=laptop)
    return vps, laptop, mini


def _held(vps: Node) -> int:
    return len(vps.relay_json("outbox")["held_for_others"])


def test_a_spawn_through_the_middle(mesh: InternetMesh) -> None:
    """All three are there: the two have no link, the spawn runs, the result comes back, the one between saw nothing."""
    vps, laptop, mini = _middle(mesh)
    secret = _Secret(laptop, mini)
    secret.ended_once()
    assert not is_linked(laptop, mini) and not is_linked(mini, laptop)
    assert secret.state(vps) == "unknown" and not secret.is_found_in(vps.home)
    processes.wait_until(lambda: not _held(vps), 20, "nothing to be held any more")


def test_never_online_together(mesh: InternetMesh) -> None:
    """The laptop asks and goes; the other one wakes, runs it, goes; the laptop finds the result when it is back."""
    vps, laptop, mini = _middle(mesh)
    mini.stop()
    secret = _Secret(laptop, mini)
    processes.wait_until(lambda: _held(vps), 20, "the spawn to be held")
    assert secret.state(laptop) == "queued"
    laptop.stop()
    assert not secret.is_found_in(vps.home)
    mini.start()
    secret.until_terminal(mini)
    processes.wait_until(lambda: _held(vps), 20, "the result to be held")
    mini.stop()
    vps.restart()
    assert not secret.is_found_in(vps.home)
    laptop.start()
    secret.ended_once()
    assert not secret.is_found_in(vps.home)


def test_the_wait_of_a_person_goes_through_the_middle(mesh: InternetMesh) -> None:
    """`relay spawn --wait` on one, run on the other: its exit status."""
    _, laptop, mini = _middle(mesh)
    words = ("spawn", "-", "shell", "echo there; exit 3", "--broker", "mini", "--cwd", str(mini.work))
    command = [sys.executable, "-m", "relay", *words, "--wait", "--json"]
    done = subprocess.run(command, env=laptop.environment(), capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["result"]["output_tail"] == "there\n"


@pytest.mark.chaos
@pytest.mark.timeout(1_200)
def test_a_storm_with_the_middle(mesh: InternetMesh) -> None:
    """Five brokers, 300 tasks between all of them, 150 troubles."""
    report = storm.run(mesh, Plan(tasks=300, troubles=150, through_the_middle=True))
    print(f"\nstorm: {report}")
    assert not report.violations, str(report)
    assert len(report.troubles) == 5 and report.states["completed"], str(report)

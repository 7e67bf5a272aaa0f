"""Two that are never awake together, and one always on between them, honest or not."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh, free_port
from relay.testing.node import Node

SECRET = "plaintext-" + secrets.token_hex(8)
WITHIN = 20.0
ALL = 3


@dataclass(frozen=True, slots=True)
class Three:
    """laptop asks, mini runs, vps is always on between them."""

    laptop: Node
    vps: Node
    mini: Node

    def ask(self, script: str) -> dict[str, Any]:
        """Spawn on mini from laptop; the accepted spawn."""
        words = ("spawn", "-", "shell", script, "--broker", "mini", "--cwd", str(self.mini.work))
        found: dict[str, Any] = self.laptop.relay_json(*words)
        return found

    def until(self, holds: Any, what: str) -> None:
        """Wait for something."""
        processes.wait_until(holds, WITHIN, what)

    def outgoing(self, node: Node) -> list[dict[str, Any]]:
        """What is in a node's outbox."""
        found: list[dict[str, Any]] = node.relay_json("outbox")["outgoing"]
        return found

    def held(self) -> list[dict[str, Any]]:
        """What vps keeps for others."""
        found: list[dict[str, Any]] = self.vps.relay_json("outbox")["held_for_others"]
        return found

    def ends(self, spawn: str) -> dict[str, Any]:
        """Wait for the end of a spawn, as laptop has it."""

        def ended() -> bool:
            return self.laptop.relay_json("show", spawn)["state"] in ("completed", "failed", "lost", "cancelled")

        self.until(ended, f"the end of {spawn}")
        found: dict[str, Any] = self.laptop.relay_json("show", spawn)
        return found


@pytest.fixture
def three() -> Iterator[Three]:
    """All of one workspace; mini allows laptop; laptop and mini are asleep and have never met."""
    with Mesh.scratch() as mesh:
        vps = mesh.add("vps")
        vps.relay("config", "set", "always_on", "true")
        vps.stop()
        vps.start()
        laptop = mesh.join(vps, "laptop")
        laptop.stop()
        mini = mesh.join(vps, "mini")
        mesh.grant(on=mini, to=laptop)
        mini.stop()
        # mini was told where laptop listened when it joined; there, nobody listens now
        _listens(laptop, free_port())
        yield Three(laptop, vps, mini)


def _listens(node: Node, port: int) -> None:
    node.relay("config", "set", "listen", f"127.0.0.1:{port}")


def _apart(three: Three) -> None:
    for node in (three.laptop, three.mini):
        node.launcher = (sys.executable, "-m", "relay.testing.apart", "--only", three.vps.address, "--")


def _wakes(node: Node, other: Node) -> None:
    node.start()
    processes.wait_until(lambda: node.status()["links"] > 0, WITHIN, f"a link of {node.name} to {other.name}")
    # who joined while it was away comes over that link
    processes.wait_until(lambda: len(node.relay_json("brokers")) == ALL, WITHIN, f"{node.name} to know of all")


def _holds(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_never_awake_together(three: Three) -> None:
    _wakes(three.laptop, three.vps)
    asked = three.ask(f"echo {SECRET}; exit 7")
    assert asked["state"] == "queued" and "mini" in asked["ack"]
    three.until(lambda: len(three.held()) == 1, "custody")
    (line,) = three.held()
    assert (line["kind"], line["state"]) == ("spawn", "held")
    assert "laptop" in line["peer"] and "mini" in line["peer"]
    three.until(lambda: "vps" in three.outgoing(three.laptop)[0]["reason"], "the origin to know the way that it went")
    # the holder's word that it has it comes a moment after that
    three.until(lambda: "vps" in three.laptop.relay_json("show", asked["id"])["ack"], "the origin to know who keeps it")
    assert three.laptop.relay_json("show", asked["id"])["state"] == "queued"
    three.laptop.stop()
    _wakes(three.mini, three.vps)
    three.until(lambda: {line["kind"] for line in three.held()} == {"receipt", "snapshot"}, "the result on its way")
    three.until(lambda: all(row["reason"].count("vps") for row in three.outgoing(three.mini)), "custody of the result")
    assert not _holds(three.vps.home, SECRET) and _holds(three.mini.home, SECRET)
    three.mini.stop()
    _wakes(three.laptop, three.vps)
    ended = three.ends(asked["id"])
    assert (ended["state"], ended["exit_code"], ended["result"]["output_tail"]) == ("failed", 7, f"{SECRET}\n")
    three.until(lambda: not three.outgoing(three.laptop), "an empty outbox")
    _wakes(three.mini, three.vps)
    three.until(lambda: not three.outgoing(three.mini) and not three.held(), "nothing left anywhere")
    assert not _holds(three.vps.home, SECRET)


def test_what_a_holder_keeps_is_counted_and_says_when_it_is_tried_next(three: Three) -> None:
    _wakes(three.laptop, three.vps)
    for _ in range(2):
        three.ask("true")
    three.until(lambda: len(three.held()) == 2, "custody")
    laptop = three.laptop
    three.until(lambda: all("vps keeps it" in row["reason"] for row in three.outgoing(laptop)), "the origin to know")
    for row in three.outgoing(three.laptop):
        assert row["next_try"] is not None and row["tries"] >= 1, row
    (mini,) = (each for each in three.laptop.relay_json("brokers") if each["name"] == "mini")
    assert mini["outbox"] == 2
    assert mini["outbox_at"] == [{"id": three.vps.id, "name": "vps", "envelopes": 2}] and mini["held_for_it"] == 0
    assert "2 waiting, 2 of them at vps" in three.laptop.relay("brokers").stdout
    assert "2 waiting, 2 of them at vps" in three.laptop.relay("broker", "show", "mini").stdout
    (mini,) = (each for each in three.vps.relay_json("brokers") if each["name"] == "mini")
    assert (mini["outbox"], mini["outbox_at"], mini["held_for_it"]) == (0, [], 2)
    assert "2 kept for others" in three.vps.relay("brokers").stdout
    # between two dials there is a moment without a time, and that is said as well
    rows: list[dict[str, Any]] = []

    def all_timed() -> bool:
        rows[:] = three.held()
        return all(row["next_try"] for row in rows)

    three.until(all_timed, "the time of the next dial")
    assert all("next dial in" in row["reason"] and row["tries"] == 0 for row in rows)


def test_no_screen_shows_what_the_system_calls_a_refused_connection(three: Three) -> None:
    """And who is forgotten takes the trouble of the last dial along."""
    _wakes(three.laptop, three.vps)
    three.ask("true")
    refused = f"refused: nothing listens at {three.mini.address}"
    three.until(lambda: three.vps.relay_json("broker", "show", "mini")["trouble"] == refused, "a dial in vain")
    screens = (("brokers",), ("broker", "show", "mini"), ("doctor",), ("broker", "ping", "mini"), ("outbox",))
    said = {words: three.vps.relay(*words, check=False) for words in screens}
    for words, done in said.items():
        assert "Errno" not in done.stdout + done.stderr and "Connect call" not in done.stdout + done.stderr, words
    for words in (("broker", "show", "mini"), ("broker", "ping", "mini")):
        assert refused in said[words].stdout + said[words].stderr
    assert "Errno 111" in three.vps.log()
    three.vps.relay("broker", "forget", "mini")

    def is_forgotten() -> bool:  # a dial that was under way may have ended after it
        shown = three.vps.relay_json("broker", "show", "mini")
        return shown["addresses"] == [] and shown["trouble"] is None

    three.until(is_forgotten, "nothing to be known")


def test_both_awake_but_out_of_each_others_reach(three: Three) -> None:
    """Work, a stop, and a log that is followed live, all through the middle."""
    _apart(three)
    for node in (three.laptop, three.mini):
        _wakes(node, three.vps)
    asked = three.ask("echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done")
    three.until(lambda: three.laptop.relay_json("show", asked["id"])["state"] == "running", "the start")
    three.until(lambda: _is_reached(three), "vps to have said that it is linked with mini")
    (three.mini.work / "go").touch()
    followed = three.laptop.relay("logs", asked["id"], "-f")
    assert followed.stdout == "begun\ndone\n"
    assert three.ends(asked["id"])["state"] == "completed"
    asked = three.ask("sleep 60")
    three.until(lambda: three.laptop.relay_json("show", asked["id"])["state"] == "running", "the start")
    three.laptop.relay("stop", asked["id"])
    assert three.ends(asked["id"])["state"] == "cancelled"


def _is_reached(three: Three) -> bool:
    seen = {each["name"]: each for each in three.laptop.relay_json("brokers")}
    mini = seen["mini"]
    return (mini["link"], mini["via"], mini["online"]) == ("relayed", three.vps.id, True)


def test_what_a_holder_took_and_does_not_hand_on_is_said(three: Three) -> None:
    three.vps.stop()
    three.vps.launcher = (sys.executable, "-m", "relay.testing.lying", "--manner", "drops", "--")
    three.vps.start()
    _apart(three)
    _wakes(three.laptop, three.vps)
    three.ask("true")
    three.until(lambda: "vps keeps it for mini" in three.outgoing(three.laptop)[0]["reason"], "its word")
    _wakes(three.mini, three.vps)
    told = "vps took it, and has mini in reach: if no receipt comes within 30 s, it is handed over again"
    three.until(lambda: three.outgoing(three.laptop)[0]["reason"] == told, "the reason why it waits")


@pytest.mark.parametrize("manner", ["drops", "bends", "replays", "reads"])
def test_a_hostile_holder_costs_time_at_worst(three: Three, manner: str) -> None:
    three.vps.stop()
    three.vps.launcher = (sys.executable, "-m", "relay.testing.lying", "--manner", manner, "--")
    three.vps.start()
    _wakes(three.laptop, three.vps)
    mark = three.mini.work / "ran"
    asked = three.ask(f"echo {SECRET} >> {mark}; echo {SECRET}")
    three.until(lambda: "vps" in three.outgoing(three.laptop)[0]["reason"], "its word that it keeps it")
    three.laptop.stop()
    _wakes(three.mini, three.vps)
    if manner in ("replays", "reads"):
        three.until(mark.exists, "the start")
    three.mini.stop()
    _wakes(three.laptop, three.vps)
    shown = three.laptop.relay_json("show", asked["id"])
    assert shown["state"] == ("queued" if manner in ("drops", "bends") else shown["state"])
    assert not _holds(three.vps.home, SECRET)
    # at last the two meet, whatever the one in the middle did
    three.vps.stop()
    three.laptop.stop()
    _listens(three.laptop, three.laptop.port)
    three.laptop.start()
    three.mini.start()
    assert three.ends(asked["id"])["state"] == "completed"
    assert mark.read_text() == f"{SECRET}\n"

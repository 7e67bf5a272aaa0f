"""What a member without a grant may cost, and what is forgotten when its time is over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from relay.broker import rationing
from relay.testing import clocked
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e import unrationed_program
from tests.e2e.scene import TERMINAL, Scene, audit, relay_json

FLOOD = 300
DAY = 86_400


def _count(node: Node, table: str) -> int:
    with closing(sqlite3.connect(f"file:{node.home}/relay.db?mode=ro", uri=True)) as store:
        return int(store.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _tidying_each_second(two: Scene, ahead_s: int = 0) -> None:
    two.vps.stop()
    two.vps.launcher = clocked.launcher(ahead_s)
    two.vps.start()
    two.linked()


def test_requests_without_a_grant_are_rationed_before_anything_is_stored(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    _tidying_each_second(two)
    with two.laptop.control() as control:
        asked = [control.spawn("/bin/true", broker="vps", cwd="/")["id"] for _ in range(FLOOD)]

    def refused() -> list[dict[str, Any]]:
        rows = [two.show(spawn) for spawn in asked[-3:]]
        return rows if all(row["state"] in TERMINAL for row in rows) else []

    last = wait_until(refused, 20, "the last of them to be refused")
    assert {row["state"] for row in last} == {"rejected"}
    # on a slow machine one may have come just when the bucket had dripped
    assert {"rate_limited"} <= {row["error"]["code"] for row in last} <= {"rate_limited", "no_grant"}
    # what the bucket let through, and what has dripped into it meanwhile
    most = rationing.AT_ONCE + 60 * rationing.PER_SECOND
    for table in ("spawns", "seen", "effects", "snapshots"):
        assert _count(two.vps, table) <= most, table
    # one entry for each tidying that found some, with the count: never one for each request
    wait_until(lambda: FLOOD - most <= _written_down(two.vps), 15, "the entries")
    assert _written_down(two.vps) <= FLOOD - rationing.AT_ONCE
    assert len(_rate_limited(two.vps)) < 30
    dead = relay_json(two.laptop, "outbox")["dead"]
    assert any("without a grant" in line["reason"] for line in dead)
    trust = two.vps.home / "trust.toml"
    trust.write_text("broken")
    kept = _count(two.vps, "spawns")
    _ask_in_vain(two, 40)
    assert _count(two.vps, "spawns") < kept + 20, "a file that nobody can read lifts nobody's ration"


def test_of_what_was_refused_without_a_grant_the_latest_is_kept(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.vps.stop()
    two.vps.launcher = unrationed_program.LAUNCHER
    two.vps.start()
    two.linked()
    _ask_in_vain(two, 3 * unrationed_program.KEPT)
    last = _ask_in_vain(two, 1)
    kept = unrationed_program.KEPT + 1  # one's word was under way
    assert _count(two.vps, "spawns") == _count(two.vps, "snapshots") == kept
    assert two.show(last, on=two.vps)["error"]["code"] == two.show(last)["error"]["code"] == "no_grant"
    assert _count(two.vps, "audit") > 3 * unrationed_program.KEPT, "each decision"


def _ask_in_vain(two: Scene, times: int) -> str:
    """Have vps refuse so many; the last one's id."""
    with two.laptop.control() as control:
        asked = [control.spawn("/bin/true", broker="vps", cwd="/")["id"] for _ in range(times)]
    for spawn in asked:
        two.until(spawn, "rejected")
    two.at_rest()
    return str(asked[-1])


def _rate_limited(node: Node) -> list[dict[str, Any]]:
    return [each for each in audit(node) if each["code"] == "rate_limited"]


def _written_down(node: Node) -> int:
    return sum(int(each["detail"].split()[0]) for each in _rate_limited(node))


def test_who_has_a_grant_is_not_rationed(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.vps.relay("trust", "allow", "laptop", "--verb", "stop")
    with two.laptop.control() as control:
        for verb in ("pause", "resume") * (rationing.AT_ONCE // 2 + 5):
            assert control.post(f"queue/{verb}", {"broker": "vps"})["state"] == "done", "a grant for this and no more"
    two.grant()
    with two.laptop.control() as control:
        asked = [
            control.spawn("/bin/true", broker="vps", cwd=str(two.vps.work))["id"] for _ in range(rationing.AT_ONCE + 40)
        ]
    for spawn in asked:
        assert two.until(spawn, *TERMINAL, within=40)["state"] == "completed"


def _filled(mesh: Mesh) -> tuple[Scene, str, str]:
    """A pair: one spawn whose end laptop knows, one whose end it slept through; both brokers are stopped."""
    two = Scene.made(mesh)
    two.vps.stop()
    two.vps.configure('retention = "1d"')
    two.vps.start()
    two.linked()
    two.grant()
    known = str(two.shell("echo known", "--ttl", "1h", status=0)["id"])
    go = two.vps.work / "go"
    unheard = two.begin(f"while [ ! -e {go} ]; do sleep 0.02; done; echo unheard", "--ttl", "1h")
    two.until(unheard, "running")
    two.laptop.kill()
    go.touch()
    two.until(unheard, *TERMINAL, on=two.vps)
    two.vps.stop()
    return two, known, unheard


def _folders(node: Node, spawn: str) -> list[Path]:
    return list((node.home / "attempts").glob(f"{spawn}-*"))


def test_what_ended_long_ago_is_forgotten_but_not_what_is_still_to_be_told(mesh: Mesh) -> None:
    two, known, unheard = _filled(mesh)
    assert _folders(two.vps, known) and _count(two.vps, "seen") > 0
    # as far as a clock is believed that nobody has agreed with
    for node in (two.vps, two.laptop):
        node.launcher = clocked.launcher(6 * DAY)
    two.vps.start()
    wait_until(lambda: not _folders(two.vps, known), 20, "the folder of what ended long ago to go")
    assert two.vps.relay("show", known, check=False).returncode == 2
    assert _count(two.vps, "seen") == _count(two.vps, "effects") == 0
    # the result that nobody has receipted is kept with its log, whatever its age
    assert two.show(unheard, on=two.vps)["state"] == "completed" and _folders(two.vps, unheard)
    two.laptop.start()
    assert two.until(unheard, *TERMINAL)["result"]["output_tail"] == "unheard\n"
    wait_until(lambda: not _folders(two.vps, unheard), 20, "it to be forgotten once it was told")


def test_only_the_last_word_on_what_has_ended_is_kept(mesh: Mesh) -> None:
    two, known, _ = _filled(mesh)
    assert _count(two.vps, f"snapshots WHERE spawn = '{known}'") > 1
    two.vps.launcher = clocked.launcher(3 * 3_600)
    two.vps.start()
    wait_until(lambda: _count(two.vps, f"snapshots WHERE spawn = '{known}'") == 1, 20, "the earlier words to go")
    assert two.show(known, on=two.vps)["state"] == "completed"

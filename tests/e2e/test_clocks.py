"""Time that passes while machines sleep, and clocks that are wrong: a result outlives both, and no end is invented."""

from __future__ import annotations

import signal
import sqlite3
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from relay.api.durations import moment
from relay.testing import clocked
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import TERMINAL, Scene, relay, relay_json, started

DAY = 86_400


def _ahead(days: int, *nodes: Node) -> None:
    for node in nodes:
        node.launcher = clocked.launcher(days * DAY)


def _ended_unheard(two: Scene, script: str) -> str:
    """A spawn that ended on vps while laptop slept; both are stopped now."""
    go = two.vps.work / "go"
    spawn = two.begin(f"while [ ! -e {go} ]; do sleep 0.02; done; {script}")
    two.until(spawn, "running")
    two.laptop.kill()
    go.touch()
    two.until(spawn, *TERMINAL, on=two.vps)
    two.vps.stop()
    return spawn


def _rows(node: Node, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(node.home / "relay.db")) as store, store:
        return store.execute(sql, values).fetchall()


def test_a_result_outlives_any_sleep(mesh: Mesh) -> None:
    """Nobody is there for 40 days: the envelope with the result has expired, the result has not."""
    two = Scene.made(mesh)
    two.grant()
    spawn = _ended_unheard(two, "echo worth it; exit 3")
    _ahead(40, two.laptop, two.vps)
    two.vps.start()
    two.laptop.start()
    ended = two.until(spawn, *TERMINAL)
    assert (ended["state"], ended["exit_code"]) == ("failed", 3)
    assert ended["result"]["output_tail"] == "worth it\n"
    wait_until(lambda: relay_json(two.vps, "outbox")["outgoing"] == [], 10, "the receipt")
    assert relay_json(two.vps, "outbox")["dead"] == []


def test_a_result_that_came_days_after_its_end_is_kept_as_long_as_any(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.grant()
    known = str(two.shell("echo in time", status=0)["id"])
    late = _ended_unheard(two, "echo late")
    _ahead(6, two.laptop, two.vps)
    two.vps.start()
    two.laptop.start()
    assert two.until(late, *TERMINAL)["result"]["output_tail"] == "late\n"
    two.laptop.stop()
    two.laptop.configure('retention = "1d"')
    two.laptop.start()
    kept = "SELECT id FROM spawns"
    wait_until(lambda: (known,) not in _rows(two.laptop, kept), 20, "what it learnt days ago to be forgotten")
    assert _rows(two.laptop, kept) == [(late,)]


def test_what_may_have_been_sent_is_never_called_expired(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.grant()
    with two.vps.asleep():
        spawn = str(relay_json(two.laptop, *two.words("shell", "true"), "--ttl", "1h")["id"])
        wait_until(lambda: _tried(two.laptop, spawn), 10, "it to be sent")
        two.laptop.stop()
    two.vps.kill()
    _ahead(2, two.laptop)
    two.laptop.start()
    shown = wait_until(lambda: (row := two.show(spawn))["reason"].startswith("no word since") and row, 20, "a sweep")
    assert shown["state"] == "queued" and "may have taken it" in shown["reason"], shown


def _tried(node: Node, spawn: str) -> bool:
    found = _rows(node, "SELECT tries FROM outbox WHERE spawn = ?", spawn)
    return bool(found) and found[0][0] > 0


def test_one_tidying_under_a_wrong_clock_with_nobody_linked_forgets_nothing(mesh: Mesh) -> None:
    """A boot with a dead clock: what has run is shown still, and what comes afterwards is taken in."""
    two = Scene.made(mesh)
    two.grant()
    known = str(two.shell("echo once", status=0)["id"])
    two.laptop.stop()
    two.vps.stop()
    _ahead(0, two.vps)
    two.vps.start()
    wait_until(lambda: _believed(two.vps) > 0, 20, "a tidying under the right clock")
    two.vps.stop()
    offered = "INSERT INTO offers VALUES ('nightly', '{}', 'runner', NULL, 'p', 't', 1, 1, 'b', ?)"
    _rows(two.vps, offered, round(time.time() * 1000))
    seen = _rows(two.vps, "SELECT count(*), (SELECT count(*) FROM offers) FROM seen")
    _ahead(40, two.vps)
    two.vps.start()
    believed = _believed(two.vps)
    wait_until(lambda: _believed(two.vps) > believed, 20, "tidyings")
    (clock,) = [each for each in relay_json(two.vps, "doctor", status=None) if each["name"] == "clocks"]
    assert not clock["ok"] and "more than 7 d later" in clock["detail"]
    two.vps.stop()
    assert _rows(two.vps, "SELECT count(*), (SELECT count(*) FROM offers) FROM seen") == seen
    _rows(two.vps, "DELETE FROM offers")
    two.vps.launcher = clocked.launcher(0)
    two.vps.start()
    two.laptop.start()
    assert two.show(known, on=two.vps)["state"] == "completed"
    assert two.shell("echo again", "--ttl", "7d", status=0)["state"] == "completed"


def _believed(node: Node) -> int:
    found = _rows(node, "SELECT value FROM meta WHERE key = 'clock.agreed'")
    return int(found[0][0]) if found else 0


def test_a_clock_that_is_wrong_is_told_and_expires_nothing(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.grant()
    two.vps.stop()
    # and a little, for what passes before the two have greeted
    two.vps.launcher = clocked.launcher(40 * DAY + 30)
    two.vps.start()
    two.linked()
    (vps,) = [each for each in relay_json(two.laptop, "brokers") if each["name"] == "vps"]
    assert abs(vps["clock_skew_ms"] - 40 * DAY * 1000) < 60_000
    assert b"its clock is 40 d ahead" in relay(two.laptop, "brokers").stdout
    for node, word in ((two.laptop, "vps: its clock is 40 d ahead"), (two.vps, "laptop: its clock is 40 d behind")):
        finding = next(each for each in relay_json(node, "doctor", status=None) if each["name"] == "clocks")
        assert not finding["ok"] and word in finding["detail"] and "nothing is called expired" in finding["detail"]
    spawn = two.shell("echo runs", "--ttl", "1h", status=0)
    assert spawn["result"]["output_tail"] == "runs\n"
    retried = two.shell("exit 3", "--ttl", "1h", "--retries", "1", status=3)
    assert retried["attempt"] == 2, retried["result"]["notes"]
    two.grant("--agent", "shell", "--ask")
    held = two.begin("true", "--ttl", "1h")
    two.until(held, "held")
    relay_json(two.vps, "approve", held)
    two.until(held, "completed")


@pytest.mark.parametrize("wrong", ["laptop", "vps"])
def test_a_clock_that_is_set_right_while_linked_is_gone_by_at_once(mesh: Mesh, wrong: str) -> None:
    """What started by it while it was ahead counts in no rate any more."""
    two = Scene.made(mesh)
    two.grant("--agent", "shell", "--rate", "1/1h" if wrong == "vps" else "2/1h")
    node = mesh.nodes[wrong]
    node.stop()
    node.launcher = clocked.launcher(3 * 3_600)
    node.start()
    two.linked()
    two.shell("true", status=0)
    assert node.process is not None
    node.process.send_signal(signal.SIGUSR1)

    def agree() -> bool:
        seen = [each["clock_skew_ms"] for on in (two.laptop, two.vps) for each in relay_json(on, "brokers")[1:]]
        return all(each is not None and abs(each) < 60_000 for each in seen)

    wait_until(agree, 15, "both to know that the clocks agree")
    two.linked()
    spawn = two.shell("true", status=0)
    assert spawn["ended"] == two.show(spawn["id"], two.vps)["ended"]
    assert abs(moment(spawn["ended"]) - time.time()) < 60


def test_a_clock_that_is_set_wrong_while_linked_expires_nothing(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    for node in (two.laptop, two.vps):
        node.stop()
        node.launcher = clocked.launcher(-3 * 3_600)
        node.start()
    two.linked()
    two.grant()
    relay(two.vps, "queue", "pause")
    waiting = [two.begin("true", "--ttl", "30m") for _ in range(8)]
    for each in waiting:
        two.until(each, "waiting")
    assert two.vps.process is not None
    two.vps.process.send_signal(signal.SIGUSR1)  # 3 h later than it is for laptop

    def disagree() -> bool:
        return all(abs(relay_json(on, "brokers")[1]["clock_skew_ms"] or 0) > 60_000 for on in (two.laptop, two.vps))

    wait_until(disagree, 15, "both to know that the clocks disagree")
    relay(two.vps, "queue", "resume")
    for each in waiting:
        two.until(each, "completed")


def test_what_was_asked_for_by_a_clock_that_was_ahead_is_refused_with_the_reason(mesh: Mesh) -> None:
    """No machine takes what would outlive its memory of it; nobody says that it was sent, started or expired."""
    two = Scene.made(mesh)
    two.grant()
    two.laptop.stop()
    two.vps.stop()
    right = two.laptop.launcher
    _ahead(40, two.laptop)
    two.laptop.start()
    spawn = str(relay_json(two.laptop, *two.words("shell", "true"))["id"])
    two.laptop.stop()
    two.laptop.launcher = right
    two.laptop.start()
    two.vps.start()
    ended = two.until(spawn, *TERMINAL)
    assert (ended["state"], ended["error"]["code"]) == ("rejected", "expires_late")
    assert "clock was ahead" in ended["reason"] and "32 days" in ended["error"]["why"]
    assert "again" in ended["error"]["hint"]
    assert relay_json(two.vps, "ps", "--all") == []


def _with_holder(mesh: Mesh) -> tuple[Node, Node, Node]:
    """laptop may spawn on mini, and both reach only vps, which is always on; laptop and mini are stopped."""
    vps = mesh.add("vps")
    vps.relay("config", "set", "always_on", "true")
    vps.stop()
    vps.start()
    laptop, mini = mesh.join(vps, "laptop"), mesh.join(vps, "mini")
    mesh.grant(on=mini, to=laptop)
    for node in (laptop, mini):
        node.stop()
        node.launcher = (sys.executable, "-m", "relay.testing.apart", "--only", vps.address, "--")
    return laptop, vps, mini


def _asked(laptop: Node, mini: Node, script: str) -> str:
    return str(laptop.relay_json("spawn", "-", "shell", script, "--broker", "mini", "--cwd", str(mini.work))["id"])


def _ends(laptop: Node, spawn: str) -> str:
    wait_until(lambda: laptop.relay_json("show", spawn)["state"] in TERMINAL, 30, "its end")
    return str(laptop.relay_json("show", spawn)["state"])


def test_what_goes_through_a_holder_whose_clock_is_ahead_arrives_as_it_is_said(mesh: Mesh) -> None:
    laptop, vps, mini = _with_holder(mesh)
    vps.stop()
    _ahead(40, vps)
    for node in (vps, laptop, mini):
        node.start()
    wait_until(lambda: vps.status()["links"] == 2, 20, "both links")
    lines = "for i in 1 2 3; do echo line$i; sleep 0.5; done"
    spawn = _asked(laptop, mini, f"{lines}; while [ ! -e go ]; do sleep 0.1; done")
    with started(laptop, "logs", spawn, "-f") as following:
        assert following.stdout is not None
        assert [following.stdout.readline() for _ in range(3)] == [b"line1\n", b"line2\n", b"line3\n"]
        (mini.work / "go").touch()
        assert following.wait(20) == 0
    assert _ends(laptop, spawn) == "completed"


def test_what_was_asked_for_by_a_clock_that_was_behind_ends_by_the_word_of_its_target(mesh: Mesh) -> None:
    """The two are never awake together; the holder hands over what has expired long ago."""
    laptop, vps, mini = _with_holder(mesh)
    right = laptop.launcher
    _ahead(-40, laptop)
    laptop.start()
    spawn = _asked(laptop, mini, "echo ran > ran")
    wait_until(lambda: vps.relay_json("outbox")["held_for_others"], 20, "custody")
    laptop.stop()
    laptop.launcher = right
    mini.start()
    wait_until(lambda: _kinds_held(vps) == {"nack"}, 20, "the word of its target")
    mini.stop()
    laptop.start()
    assert _ends(laptop, spawn) == "expired"
    assert not (mini.work / "ran").exists()


def _kinds_held(vps: Node) -> set[str]:
    return {str(line["kind"]) for line in vps.relay_json("outbox")["held_for_others"]}


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_wrong_clock_makes_nothing_old_or_of_the_future(mesh: Mesh, hours: int) -> None:
    """All views of what another machine has done go by the clock of who looks, which a third agrees with."""
    two = Scene.made(mesh)
    boss = mesh.join(two.laptop, "boss")
    two.vps.kill()
    two.vps.launcher = clocked.launcher(hours * 3_600)
    two.vps.start()
    two.linked()
    two.grant()
    two.vps.relay("trust", "allow", boss.id, "--verb", "view")
    wait_until(lambda: boss.status()["links"] == two.laptop.status()["links"] == 2, 20, "all links")
    before = time.time()
    spawn = str(two.shell("exit 3", status=3)["id"])
    listed = relay_json(two.laptop, "ps", "--since", "1h", "--all")
    assert [each["id"] for each in listed] == [spawn]
    shown = two.show(spawn)
    for said in (shown["since"], shown["truth"]["at"]):
        # by how much its clock is wrong was measured with a hello, which a busy machine reads late
        assert before - 60 < moment(said) < time.time() + 60, (said, hours)
    said = relay(two.laptop, "show", spawn).stdout.decode()
    assert f"the clock of vps is 2 h {'ahead of' if hours > 0 else 'behind'} this machine's" in said
    assert abs(moment(shown["timeline"][-1]["at"]) - time.time() - hours * 3_600) < 60, "as it was said"
    soon = round((time.time() + 3_600) * 1_000)
    with two.laptop.control() as control:
        assert control.get(f"listing?all=true&since={soon}")["spawns"] == []
    two.grant("--agent", "shell", "--ask")
    tried = relay_json(two.laptop, *two.words("shell", "true"), "--dry-run")
    assert tried["verdict"] == "hold" and before - 60 < moment(tried["truth"]["at"]) < time.time() + 60
    held = two.begin("true")
    needs = two.until(held, "held")["needs"]
    for node in (two.laptop, boss):
        seen = relay_json(node, "review")
        assert seen["unreachable"] == [], "it was told, and taken for too late"
        (asked,) = seen["questions"]
        assert asked["spawn"] == held and before - 60 < moment(asked["asked"]) < time.time() + 60
    assert before - 60 < moment(needs["asked"]) < time.time() + 60
    (step,) = relay_json(boss, "show", held)["timeline"]
    assert abs(moment(step["at"]) - time.time() - hours * 3_600) < 60, "as it was said"

"""One identity on two machines: a restored store stops its intake by itself, a clone is kept calm and shown."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest

from relay.testing.mesh import Mesh, free_port
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import TERMINAL, Scene, audit, fresh, relay, relay_json


@pytest.fixture
def own(mesh: Mesh) -> Scene:
    """A pair of the test's own, with a grant for laptop."""
    two = Scene.made(mesh)
    two.grant()
    return two


def _check(node: Node, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in relay_json(node, "doctor", status=None) if each["name"] == name)
    return found


def _restored_by_one_start(two: Scene) -> None:
    """vps is stopped and copied; it runs once more, its home is replaced by the copy, and it runs again."""
    copy = two.mesh.folder / "copy"
    two.vps.stop()
    shutil.copytree(two.vps.home, copy, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    two.vps.start()
    two.linked()
    two.vps.stop()
    shutil.rmtree(two.vps.home)
    copy.rename(two.vps.home)
    two.vps.start()
    two.linked()


def test_a_store_restored_by_one_start_takes_nothing_in_until_it_is_kept(own: Scene) -> None:
    """The counter of its starts is the one the peer knows; only the nonce tells that it was another start."""
    mark = own.vps.work / fresh("ran")
    _restored_by_one_start(own)
    wait_until(lambda: not _check(own.vps, "intake")["ok"], 10, "it to find out")
    assert "relay identity keep" in _check(own.vps, "intake")["hint"]
    spawn = own.begin(f"echo once >> {mark}")
    # the origin says what stands in the way, as the spawn's reason, in its acknowledgement and in the outbox
    wait_until(lambda: "vps takes nothing in" in own.show(spawn)["reason"], 10, "the origin to be told")
    told = own.show(spawn)
    assert told["state"] == "queued"
    assert "relay identity keep" in told["reason"] and "takes nothing in" in told["ack"]
    (line,) = relay_json(own.laptop, "outbox")["outgoing"]
    assert "vps takes nothing in" in line["reason"] and line["state"] == "pending"
    assert not mark.exists()
    (vps,) = [each for each in relay_json(own.laptop, "brokers") if each["name"] == "vps"]
    assert vps["trouble"]
    assert relay_json(own.vps, "identity", "keep") == {"was_stopped": True}
    assert own.until(spawn, *TERMINAL, within=30)["state"] == "completed"
    assert mark.read_text() == "once\n"
    assert _check(own.vps, "intake")["ok"]


@pytest.fixture
def replayed(mesh: Mesh) -> tuple[Node, Node, Node]:
    """`laptop`, `hold` and `vps`; hold keeps what laptop sends, and hands all it ever saw out at each new link."""
    hold = mesh.add("hold")
    hold.stop()
    hold.launcher = (sys.executable, "-m", "relay.testing.lying", "--manner", "replays", "--")
    hold.configure("always_on = true")
    hold.start()
    laptop, vps = mesh.join(hold, "laptop"), mesh.join(hold, "vps")
    mesh.grant(on=vps, to=laptop)
    return laptop, hold, vps


def test_what_a_restored_store_may_have_run_is_not_run_again_after_it_was_kept(
    mesh: Mesh, replayed: tuple[Node, Node, Node]
) -> None:
    """The person says that this machine goes on; what was taken in after the copy was made is played again in full."""
    laptop, _, vps = replayed
    mark, copy = vps.work / "ran", mesh.folder / "copy"
    order = ("shell", f"echo once >> {mark}", "--broker", "vps", "--cwd", str(vps.work))
    vps.stop()
    shutil.copytree(vps.home, copy, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    spawn = relay_json(laptop, "spawn", "first", *order)["id"]
    wait_until(lambda: "hold keeps it" in str(relay_json(laptop, "outbox")), 20, "the holder to have it")
    laptop.stop()
    vps.start()
    wait_until(mark.exists, 20, "its run")
    vps.stop()
    shutil.rmtree(vps.home)
    copy.rename(vps.home)
    vps.start()
    wait_until(lambda: not _check(vps, "intake")["ok"], 20, "it to find out")
    assert relay_json(vps, "identity", "keep") == {"was_stopped": True}
    mesh.await_link(vps)
    laptop.start()
    mesh.await_link(laptop, vps)
    # all of it has come once more by now: what is asked for later has come after it, and is done
    done = relay_json(laptop, "spawn", "second", *order, "--wait")
    assert done["state"] == "completed" and mark.read_text() == "once\n" * 2
    assert spawn not in [each["id"] for each in relay_json(vps, "ps", "--all")]


def test_an_ordinary_restart_stops_nothing(own: Scene) -> None:
    for _ in range(3):
        own.vps.restart()
        own.linked()
    own.shell("true", status=0)
    assert _check(own.vps, "intake")["ok"] and _check(own.laptop, "identities")["ok"]


def _clone(two: Scene) -> Node:
    """A second machine with vps's identity, made from a copy of its home; both will run."""
    clone = Node(two.mesh.folder, "clone", free_port())
    two.vps.stop()
    shutil.copytree(two.vps.home, clone.home, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    config = clone.home / "config.toml"
    config.write_text(config.read_text().replace(str(two.vps.port), str(clone.port)))
    clone.work.mkdir()
    two.mesh.nodes["clone"] = clone
    two.vps.start()
    two.linked()
    clone.start()
    return clone


def test_two_machines_with_one_identity_are_kept_calm_and_shown(own: Scene) -> None:
    relay_json(own.laptop, "trust", "allow", own.vps.id, "--agent", "shell", "--dir", str(own.laptop.work))
    clone = _clone(own)
    wait_until(lambda: not _check(own.laptop, "identities")["ok"], 15, "laptop to see both")
    finding = _check(own.laptop, "identities")
    assert "vps" in finding["detail"] and "relay identity keep" in finding["hint"]
    assert "relay trust allow vps" in finding["hint"]
    (vps,) = [each for each in relay_json(own.laptop, "brokers") if each["name"] == "vps"]
    assert vps["trouble"] == "two machines show this identity"
    assert b"two machines show this identity" in relay(own.laptop, "brokers").stdout
    wait_until(lambda: not _check(clone, "intake")["ok"], 10, "the clone to find out")
    # the real one's link stays, and it goes on working, while the clone knocks less and less often
    link = own.laptop.log().count("ended: replaced")
    own.shell("true", status=0)
    wait_until(lambda: clone.log().count(TWO) + own.laptop.log().count(TWO) >= 4, 30, "the clone to come again")
    assert own.laptop.log().count("ended: replaced") == link <= 1
    assert _check(own.vps, "intake")["ok"]
    frozen = [entry for entry in audit(own.laptop) if entry["code"] == "grant_frozen"]
    assert len(frozen) == 1, "one decision, however often it knocks"
    assert [each["frozen"] for each in relay_json(own.laptop, "trust", "list")] == [True]
    # the way out: the copy is stopped, the grant given again
    clone.stop()
    relay_json(own.laptop, "trust", "allow", own.vps.id, "--agent", "shell", "--dir", str(own.laptop.work))
    own.vps.restart()
    own.linked()
    assert _check(own.laptop, "identities")["ok"]


TWO = "two machines show this identity"


def test_a_clone_that_is_linked_first_does_not_fight_for_its_place(own: Scene) -> None:
    """Which of them is the real one nobody can tell: whoever comes, the dialling slows down."""
    clone = _clone(own)
    for node in (own.vps, clone):
        node.restart()
    own.laptop.restart()
    wait_until(lambda: own.laptop.status()["links"] == 1, 15, "one of them to be linked")
    wait_until(lambda: not all(_check(node, "intake")["ok"] for node in (own.vps, clone)), 30, "one to find out")
    before = own.laptop.log().count("replaced")
    # 5 s of their knocking: it was a hundred and more a second
    seen = relay_json(own.laptop, "status")["since"]
    wait_until(lambda: clone.log().count(TWO) + own.vps.log().count(TWO) >= 3, 30, "three knocks")
    assert own.laptop.log().count("replaced") - before <= 12
    assert relay_json(own.laptop, "status")["since"] == seen

"""A workspace's key changes under brokers that are awake, asleep, killed or put out: real processes, one mesh.

Each test goes on from whatever epoch it finds; those after which `mini` is of no use have a mesh of their own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.core import ids
from relay.core.envelope import Body
from relay.core.frames import Batch, pack_frame
from relay.core.spawning import SpawnRequest
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from relay.trust.epochs import rotated, verify_rotation
from relay.trust.identity import load_identity
from relay.trust.workspace import Workspace, load_workspace, save_workspace
from tests.e2e.scene import audit, error_of, relay, relay_json
from tests.fuzz.attacker import Attacker, finish, websocket_frame


@contextmanager
def _three() -> Iterator[Mesh]:
    """`laptop` created the workspace, `vps` and `mini` joined it; each may run things on laptop."""
    with Mesh.scratch("relay-epochs-") as made:
        laptop, vps = made.pair("laptop", "vps")
        mini = made.join(laptop, "mini")
        for node in (vps, mini):
            made.grant(on=laptop, to=node)
        yield made


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with _three() as made:
        yield made


@pytest.fixture
def spent() -> Iterator[Mesh]:
    """For one test: one that puts `mini` out, or makes it seem to be two machines, leaves nothing for another."""
    with _three() as made:
        yield made


def _key_file(node: Node) -> Path:
    return node.home / "workspace.key"


def _held(node: Node) -> Workspace:
    return load_workspace(_key_file(node))


def _epoch(node: Node) -> int:
    try:
        return int(node.status()["workspace"]["epoch"])
    except OSError:
        return 0  # it starts anew


def _linked(node: Node) -> set[str]:
    done = relay(node, "--json", "brokers")
    found = json.loads(done.stdout) if done.returncode == 0 else []
    return {each["name"] for each in found if each["link"] == "direct"}


def _await(epoch: int, *nodes: Node) -> None:
    for node in nodes:
        wait_until(lambda node=node: _epoch(node) == epoch, 30, f"{node.name} to be in epoch {epoch}")  # type: ignore[misc]
    others = {node.name for node in nodes[1:]}
    wait_until(lambda: _linked(nodes[0]) >= others, 30, "them to be linked")


def _nodes(mesh: Mesh) -> tuple[Node, Node, Node]:
    return mesh.nodes["laptop"], mesh.nodes["vps"], mesh.nodes["mini"]


def test_a_sleeper_that_missed_three_epochs_comes_back_without_a_new_invitation(mesh: Mesh) -> None:
    laptop, vps, mini = _nodes(mesh)
    error = error_of(relay(vps, "--json", "workspace", "rotate"))
    assert (error["code"], error["hint"]) == ("not_a_signer", "on laptop: relay workspace rotate")
    begun = _epoch(laptop)
    first, second, third = range(begun + 1, begun + 4)
    vps.stop()
    for epoch in (first, second, third):
        done = relay_json(laptop, "workspace", "rotate")
        assert done["workspace"]["epoch"] == epoch
        assert {each["name"] for each in done["waiting_for"]} == {"vps", "mini"}
        _await(epoch, laptop, mini)

    def unseen() -> list[str]:
        return [each["name"] for each in relay_json(laptop, "workspace", "show")["not_seen_in_it"]]

    wait_until(lambda: unseen() == ["vps"], 10, "mini to be seen in it")
    shown = relay_json(laptop, "workspace", "show")
    assert (shown["epoch"], shown["by"]["name"], shown["former"][-3:]) == (third, "laptop", [begun, first, second])
    assert _held(vps).epoch == begun
    vps.start()
    _await(third, laptop, vps, mini)
    assert _held(vps).epochs == _held(laptop).epochs
    assert _key_file(vps).stat().st_mode & 0o777 == 0o600
    wait_until(lambda: unseen() == [], 10, "vps to be seen")
    order = ("spawn", "-", "shell", "true", "--broker", "laptop", "--cwd", str(laptop.work), "--wait")
    assert relay_json(vps, *order)["state"] == "completed"


def test_a_listener_that_slept_is_dialled_with_the_epoch_that_it_holds(mesh: Mesh) -> None:
    """Whoever has no address of the others has to be fetched back by them."""
    laptop, vps, mini = _nodes(mesh)
    following = _epoch(laptop) + 1
    vps.pause()
    try:
        relay_json(laptop, "workspace", "rotate")
        _await(following, laptop, mini)
    finally:
        vps.resume()
    _await(following, laptop, vps, mini)


def test_a_crash_after_the_key_was_written_and_before_anything_else_loses_nothing(mesh: Mesh) -> None:
    laptop, vps, mini = _nodes(mesh)
    laptop.kill()
    identity, held = load_identity(laptop.home / "identity.key"), _held(laptop)
    save_workspace(_key_file(laptop), rotated(held, identity, os.urandom(32), 3, time.time_ns() // 1_000_000))
    laptop.start()
    _await(held.epoch + 1, laptop, vps, mini)


@pytest.mark.parametrize("whom", ["laptop", "vps"])
def test_a_kill_while_an_epoch_is_being_taken_leaves_one_or_the_other(mesh: Mesh, whom: str) -> None:
    laptop, vps, mini = _nodes(mesh)
    victim, epoch = mesh.nodes[whom], _epoch(laptop) + 1
    before = _key_file(victim).stat().st_ino
    with laptop.control() as control:
        control.post("workspace/rotate", {"operation": os.urandom(16).hex()})
    wait_until(lambda: _key_file(victim).stat().st_ino != before, 20, "its key file to change", every=0.0005)
    victim.kill()
    assert _held(victim).epoch == epoch, "the file is whole"
    victim.start()
    _await(epoch, laptop, vps, mini)


@pytest.mark.parametrize("how", ["signal", "down"])
def test_a_stop_that_comes_as_a_broker_starts_anew_is_obeyed(mesh: Mesh, how: str) -> None:
    laptop, *others = _nodes(mesh)
    epoch = _epoch(laptop) + 1
    with laptop.control() as control:
        control.post("workspace/rotate", {})
        if how == "down":
            control.post("down", {})
    if how == "signal":
        laptop.stop()
    assert laptop.process is not None
    assert laptop.process.wait(10) == 0
    laptop.start()
    _await(epoch, laptop, *others)


def test_of_two_rotations_at_once_the_same_one_wins_everywhere(mesh: Mesh) -> None:
    _rotate_twice_at_once(mesh)


def _rotate_twice_at_once(mesh: Mesh) -> None:
    laptop, vps, mini = _nodes(mesh)
    identity, held = load_identity(laptop.home / "identity.key"), _held(laptop)
    made = [rotated(held, identity, os.urandom(32), 3, time.time_ns() // 1_000_000) for _ in range(2)]
    lower, higher = sorted(made, key=lambda each: verify_rotation(held, each.rotation).rank)
    for node, mine in ((laptop, lower), (vps, higher)):
        node.stop()
        save_workspace(_key_file(node), mine)
    for node in (laptop, vps):
        node.start()
    for node in (laptop, vps, mini):
        wait_until(lambda node=node: _held(node).key == higher.key, 30, f"{node.name} to have it")  # type: ignore[misc]
    _await(held.epoch + 1, laptop, vps, mini)


def test_an_old_key_opens_nothing_but_the_present_epoch(spent: Mesh) -> None:
    """A member with a grant, its own identity and a former key: no spawn, no receipt, no roster; the epoch alone."""
    laptop, vps, mini = _nodes(spent)
    while _epoch(laptop) < 4 or len(_held(mini).former) < _epoch(laptop):
        _rotate_twice_at_once(spent)
    mini.stop()
    attacker = Attacker(mini, laptop)
    present = attacker.workspace.epoch
    assert len(attacker.workspace.former) >= present >= 4, "every epoch before it, and one that lost"

    def ask() -> str:
        """Ask for a spawn that the grant allows, and read what is said until the connection ends; its id."""
        made = ids.spawn_id(os.urandom(10))
        now = time.time_ns() // 1_000_000
        request = SpawnRequest(made, made, "shell", "true", now, now + 60_000, cwd=str(laptop.work))
        letter = attacker.envelope("spawn", Body(made, request.to_content()))
        with attacker.link() as link:
            link.sendall(websocket_frame(pack_frame(Batch((letter,)))))
            finish(link)
        return made

    def met() -> int:
        return laptop.log().count("came with a former epoch and gets")

    def came() -> list[str]:
        return [each["id"] for each in relay_json(laptop, "ps", "--all", "--origin", "mini")]

    before, asked, known = met(), came(), audit(laptop)
    for former in attacker.workspace.former:
        attacker.come_with(former)
        ask()
    wait_until(lambda: met() >= before + len(attacker.workspace.former), 10, "it to be met each time")
    # what comes with the present key is taken in; that was asked for later, and is the only one
    attacker.come_with(attacker.workspace.epochs[-1])
    taken = ask()
    wait_until(lambda: taken in came(), 10, "the second one to be taken in")
    assert set(came()) - set(asked) == {taken}
    assert len([each for each in audit(laptop) if each not in known and each["kind"] == "spawn"]) == 1
    mini.start()
    _await(present, laptop, vps, mini)


def test_who_was_put_out_gets_no_epoch_from_who_has_not_heard_of_that_either(spent: Mesh) -> None:
    laptop, vps, mini = _nodes(spent)
    present = _epoch(laptop)
    vps.stop()
    relay_json(laptop, "broker", "evict", "mini")
    relay_json(laptop, "workspace", "rotate")
    _await(present + 1, laptop)
    wait_until(lambda: "is not on the roster" in laptop.log(), 30, "it to knock at laptop with its key")
    rotation = verify_rotation(_held(laptop), _held(laptop).rotation)
    assert rotation.seq == 4, "three admissions and the evict have to be known"
    # vps has taken the epoch, and was cut off before it heard of the eviction
    laptop.stop()
    save_workspace(_key_file(vps), _held(laptop))
    vps.start()
    assert "mini" in {each["name"] for each in relay_json(vps, "brokers")}
    wait_until(lambda: "has not heard yet who belongs" in mini.log(), 30, "it to be turned away")
    laptop.start()
    _await(present + 1, laptop, vps)
    wait_until(lambda: "mini" not in {each["name"] for each in relay_json(vps, "brokers")}, 20, "vps to hear of it")
    assert _held(mini).epoch == present
    wait_until(lambda: mini.status()["links"] == 0, 10, "it to have no link")

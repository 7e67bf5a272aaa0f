"""Real brokers tell each other of themselves: records, renames, pings, forgetting, and new places that are found."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from relay.testing import processes
from relay.testing.mesh import LINKED_WITHIN, Mesh, free_port
from relay.testing.node import Node
from tests.e2e.evicting import put_out
from tests.e2e.scene import error_of, relay

MAX_PSS = 60 * 2**20
SETTLED_WITHIN = 20.0  # links are told of once they have been still for 5 s and more


@pytest.fixture(scope="module")
def trio() -> Iterator[Mesh]:
    """`hub` and two who joined it, all linked with one another."""
    with Mesh.scratch("relay-find-") as mesh:
        hub = mesh.add("hub")
        hub.configure("always_on = true")
        hub.restart()
        mesh.join(hub, "one")
        mesh.join(hub, "other")
        for node in mesh.nodes.values():
            await_links(node, 2)
        yield mesh
        for node in mesh.nodes.values():
            assert "Traceback" not in node.log()


def await_links(node: Node, count: int) -> None:
    def are_up() -> bool:
        try:
            return bool(node.status()["links"] == count)
        except OSError:
            return False  # it has joined anew, and opens its socket again

    processes.wait_until(are_up, LINKED_WITHIN, f"{count} links of {node.name}")


def shown(on: Node, name: str) -> dict[str, Any]:
    document: dict[str, Any] = on.relay_json("broker", "show", name)
    return document


def await_shown(on: Node, name: str, what: str, wanted: object, within: float = SETTLED_WITHIN) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def holds() -> bool:
        found[:] = [shown(on, name)]
        return bool(found[0][what] == wanted)

    processes.wait_until(holds, within, f"{what} of {name}", every=0.2)
    return found[0]


def await_record(on: Node, name: str) -> dict[str, Any]:
    """The record of a member, once there is one."""
    processes.wait_until(lambda: shown(on, name)["record"] is not None, SETTLED_WITHIN, f"{name}'s record", every=0.2)
    record: dict[str, Any] = shown(on, name)["record"]
    return record


def test_a_member_is_known_by_what_it_says(trio: Mesh) -> None:
    hub, one = trio.nodes["hub"], trio.nodes["one"]
    found = await_shown(one, "hub", "always_on", True)
    # only what a task would find there: the programs that this machine has, shell and exec always
    presets = {name: name for name in ("aider", "claude", "codex", "gemini", "goose", "llm", "opencode")}
    presets |= {"groq": "llm", "python": "python3"}
    path = hub.environment()["PATH"]
    there = [name for name, program in presets.items() if shutil.which(program, path=path)]
    assert found["agents"] == sorted([*there, "exec", "shell"])
    assert found["version"] == found["version"].strip() != ""
    assert found["record"]["incarnation"] == found["incarnation"] == hub.starts
    assert found["id"] == hub.id and found["id_groups"].replace("-", "") == hub.id
    assert found["link"]["kind"] == "direct" and found["frozen"] is False and found["trouble"] is None
    assert any(hint["address"] == hub.address for hint in found["addresses"])
    own = shown(one, "one")
    assert own["self"] is True and own["record"] is not None and own["addresses"] == []
    assert hub.relay("broker", "show", "one").stdout.startswith("name:")
    listed = {each["name"]: each for each in one.relay_json("brokers")}
    assert listed["hub"]["agents"] == found["agents"] and listed["hub"]["version"] == found["version"]


def test_links_are_told_of_once_they_are_still(trio: Mesh) -> None:
    one = trio.nodes["one"]
    wanted = sorted([{"id": trio.nodes[name].id, "name": name} for name in ("hub", "one")], key=lambda each: each["id"])
    await_shown(one, "other", "linked", wanted)


def test_a_ping_is_a_round_trip(trio: Mesh) -> None:
    found = trio.nodes["one"].relay_json("broker", "ping", "hub", "--count", "2")
    assert len(found["rtt_ms"]) == 2 and 0 < found["min_ms"] <= found["median_ms"] <= found["max_ms"] < 10_000
    said = trio.nodes["one"].relay("broker", "ping", "hub", "--count", "1").stdout
    assert said.startswith("hub answers in ")
    done = relay(trio.nodes["one"], "--json", "broker", "ping", "one")
    assert done.returncode == 2 and "this broker" in error_of(done)["message"]


@pytest.mark.parametrize("verb", ["show", "ping", "forget"])
def test_nobody_of_that_name(trio: Mesh, verb: str) -> None:
    for name in ("nobody", "a/b", "..", "%2e%2e", "x" * 300):
        done = relay(trio.nodes["one"], "--json", "broker", verb, name)
        assert done.returncode == 2 and error_of(done)["code"] == "unknown_broker", done


def test_the_creator_renames_for_everybody_and_others_for_themselves(trio: Mesh) -> None:
    hub, one, other = (trio.nodes[name] for name in ("hub", "one", "other"))
    try:
        assert hub.relay_json("broker", "rename", "other", "mini")["everywhere"] is True
        processes.wait_until(lambda: other.relay_json("status")["broker"]["name"] == "mini", 10, "its new name")
        await_shown(one, "mini", "roster_name", "mini", 10)
        mine = one.relay_json("broker", "rename", "mini", "box")
        assert mine["everywhere"] is False and mine["name"] == "box" and mine["roster_name"] == "mini"
        assert shown(one, "box")["id"] == shown(one, "mini")["id"] == other.id
        assert {each["name"] for each in hub.relay_json("brokers")} == {"hub", "one", "mini"}
        # commands that ask no broker know it too
        assert one.relay("trust", "allow", "box", "--profile", "read-only").stdout.startswith("box may now")
        taken = relay(one, "--json", "broker", "rename", "hub", "box")
        assert taken.returncode == 2 and error_of(taken)["code"] == "name_in_use"
        own = relay(one, "--json", "broker", "rename", "one", "uno")
        assert own.returncode == 1 and error_of(own)["code"] == "not_a_signer" and "on hub:" in error_of(own)["hint"]
        bad = relay(one, "--json", "broker", "rename", "hub", "Not A Name")
        assert bad.returncode == 2 and error_of(bad)["code"] == "bad_name"
        one.restart()
        assert shown(one, "box")["id"] == other.id
    finally:
        hub.relay("broker", "rename", other.id, "other")
        one.relay("trust", "revoke", other.id)
        await_shown(one, other.id, "roster_name", "other", 10)
        one.relay("broker", "rename", other.id, "other")
    assert shown(one, "other")["name"] == "other"
    for node in trio.nodes.values():
        await_links(node, 2)


def test_what_is_forgotten_comes_back_from_who_is_linked(trio: Mesh) -> None:
    one = trio.nodes["one"]
    await_record(one, "other")
    answer = one.relay_json("broker", "forget", "other")
    assert answer["record"] is True and answer["linked"] is True and answer["addresses"] > 0
    await_record(one, "other")
    assert shown(one, "other")["incarnation"] is not None  # kept: a copy of that machine is told by it
    own = relay(one, "--json", "broker", "forget", "one")
    assert own.returncode == 2


def test_who_is_away_is_said_to_be_and_a_record_outlives_a_restart(trio: Mesh) -> None:
    hub, one, other = (trio.nodes[name] for name in ("hub", "one", "other"))
    before = await_record(one, "other")
    other.stop()
    one.restart()
    await_links(one, 1)
    # until hub's own record says so, hub is believed to be linked with it still
    processes.wait_until(lambda: shown(one, "other")["online"] is False, 15, "other to be known as away")
    found = shown(one, "other")
    assert found["via"] is None and found["link"] is None and found["last_seen"] is not None
    assert found["record"]["incarnation"] == before["incarnation"]
    done = relay(one, "--json", "broker", "ping", "other")
    error = error_of(done)
    assert done.returncode == 1 and error["code"] == "unreachable" and "last seen" in error["why"]
    assert "no link" in error["message"]
    other.start()
    for node in (hub, one, other):
        await_links(node, 2)


def test_two_that_moved_at_once_find_each_other_through_a_third(trio: Mesh) -> None:
    """Each knows only where the other was; the hub has both records."""
    one, other = trio.nodes["one"], trio.nodes["other"]
    for node in (one, other):
        node.stop()
    for node in (one, other):
        node.port = free_port()
        node.configure(f'listen = ["{node.address}"]')
    for node in (one, other):
        node.start()
    for node in (one, other):
        await_links(node, 2)
    addresses = {hint["address"] for hint in shown(one, "other")["addresses"]}
    assert other.address in addresses


def test_the_local_network_shows_where_members_are(mesh: Mesh) -> None:
    """On loopback only; neither knows the other's address any more, and no link tells them."""
    one, other = mesh.pair("one", "other")
    for node in (one, other):
        node.stop()
        node.port = free_port()
        node.configure(f'listen = ["{node.address}"]', "mdns = true", 'mdns_interfaces = ["127.0.0.1"]')
    for node in (one, other):
        node.start()
    try:
        mesh.await_link(one, other)
    except TimeoutError:
        if "mDNS is not to be had" in one.log():
            pytest.skip("this machine has no multicast on loopback")
        raise
    hints = [*shown(one, "other")["addresses"], *shown(other, "one")["addresses"]]
    assert {one.address, other.address} & {hint["address"] for hint in hints if hint["worked"]}
    assert one.process is not None
    if os.geteuid() == 0:  # a broker's memory is shown to root alone
        assert psutil.Process(one.process.pid).memory_full_info().pss <= MAX_PSS


def test_an_evicted_member_s_record_is_gone(trio: Mesh) -> None:
    """The statement is added to the creator's file while it is down; `other` is invited again after it."""
    hub, one, other = (trio.nodes[name] for name in ("hub", "one", "other"))
    for node in (hub, one):
        processes.wait_until(lambda node=node: other.id in _kept(node), SETTLED_WITHIN, f"its record on {node.name}")  # type: ignore[misc]
    hub.stop()
    put_out(hub, other)
    hub.start()
    processes.wait_until(
        lambda: relay(one, "--json", "broker", "show", "other").returncode == 2, LINKED_WITHIN, "the eviction"
    )
    for node in (hub, one):
        processes.wait_until(lambda node=node: other.id not in _kept(node), 10, f"no record left on {node.name}")  # type: ignore[misc]
    other.relay("join", typed=hub.relay_json("invite", "--link")["link"])
    for node in (hub, one, other):
        await_links(node, 2)


def _kept(node: Node) -> set[str]:
    connection = sqlite3.connect(f"file:{node.home / 'relay.db'}?mode=ro", uri=True)
    try:
        return {broker for (broker,) in connection.execute("SELECT broker FROM records")}
    finally:
        connection.close()

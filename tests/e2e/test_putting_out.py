"""Who is put out, or whose grant is revoked: its tasks and links here end within 5 s, on every machine awake."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, audit, error_of, relay, relay_json, tasks_alive

WITHIN_S = 5.0


def _links(node: Node) -> set[str]:
    return {each["name"] for each in relay_json(node, "brokers") if each["link"] == "direct"}


def _three_tasks(two: Scene) -> tuple[str, str]:
    """One of laptop's tasks runs on vps, and one waits there behind a pause."""
    running = two.begin("sleep 80", "--timeout", "90s")
    two.until(running, "running")
    two.vps.relay("queue", "pause")
    waiting = two.begin("touch ran")
    two.until(waiting, "waiting")  # as laptop has it: vps may not have heard of it yet
    return running, waiting


def _states(node: Node, *spawns: str) -> list[Any]:
    with node.control() as control:
        return [control.get(f"spawns/{each}")["state"] for each in spawns]


def test_revoke_stops_running_tasks_purges_the_queue_and_closes_links_within_5_s(granted: Scene) -> None:
    running, waiting = _three_tasks(granted)
    link = relay_json(granted.vps, "broker", "show", "laptop")["link"]
    assert tasks_alive(running)
    relay_json(granted.vps, "trust", "revoke", "laptop")
    begun = time.monotonic()
    wait_until(lambda: not tasks_alive(running), WITHIN_S, "its task to end", every=0.05)
    ended = lambda: _states(granted.vps, running, waiting) == ["cancelled", "cancelled"]  # noqa: E731
    wait_until(ended, WITHIN_S, "both to be cancelled", every=0.05)

    def is_another() -> bool:
        with granted.vps.control() as control:
            now = control.get("brokers/laptop")["link"]
        return now is None or now["since"] != link["since"]

    wait_until(is_another, WITHIN_S, "the link to be closed", every=0.05)
    assert time.monotonic() - begun < WITHIN_S
    # membership stays: it links again, and hears how its tasks ended
    granted.linked()
    assert granted.until(running, "cancelled")["reason"].endswith("its grant being revoked")
    assert granted.until(waiting, "cancelled")["state"] == "cancelled"
    granted.vps.relay("queue", "resume")
    assert granted.shell("true")["error"]["code"] == "no_grant"


@pytest.fixture(scope="module")
def three() -> Iterator[Scene]:
    """`laptop` created the workspace; `vps` and `mini` joined it, and mini may run things on vps."""
    with Mesh.scratch("relay-out-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        mesh.join(laptop, "mini")
        wait_until(lambda: "mini" in _links(vps), 20, "mini and vps to be linked")
        mesh.grant(on=vps, to=mesh.nodes["mini"])
        mesh.grant(on=laptop, to=mesh.nodes["mini"])
        yield Scene(mesh, mesh.nodes["mini"], vps)


def test_evict_holds_on_every_machine_within_5_s_and_after_sleep(three: Scene) -> None:
    laptop, vps, mini = (three.mesh.nodes[each] for each in ("laptop", "vps", "mini"))
    _refusals(laptop, mini)
    desk = three.mesh.join(laptop, "desk")
    wait_until(lambda: "mini" in _links(desk), 20, "desk and mini to be linked")
    running, waiting = _three_tasks(three)
    desk.stop()
    done = relay_json(laptop, "broker", "evict", "mini", "--reason", "lost")
    begun = time.monotonic()
    assert done["broker"] == {"id": mini.id, "name": "mini"} and done["reason"] == "lost"
    wait_until(lambda: not tasks_alive(running), WITHIN_S, "its task to end", every=0.05)
    ended = lambda: _states(vps, running, waiting) == ["cancelled", "cancelled"]  # noqa: E731
    wait_until(ended, WITHIN_S, "both to be cancelled", every=0.05)
    wait_until(lambda: mini.status()["links"] == 0, WITHIN_S, "its links to be closed", every=0.05)
    assert time.monotonic() - begun < WITHIN_S
    for node in (laptop, vps):
        wait_until(lambda node=node: relay_json(node, "trust", "list") == [], WITHIN_S, "its grant to go")  # type: ignore[misc]
    # who slept hears of it, and nobody lets it in again
    desk.start()
    wait_until(lambda: {each["name"] for each in relay_json(desk, "brokers")} == {"laptop", "vps", "desk"}, 20, "desk")
    for node in (laptop, vps, desk):
        node.restart()
    wait_until(lambda: "laptop" in _links(vps), 20, "the others to be linked")
    awake = (laptop, vps, desk)
    wait_until(lambda: any("is not on the roster" in node.log() for node in awake), 30, "it to knock in vain")
    wait_until(lambda: mini.status()["links"] == 0, 10, "it to have no link")
    assert [each["kind"] for each in audit(laptop)].count("evict") == 1
    _shown(laptop, mini)
    _admitted_again(laptop, mini)


def _refusals(laptop: Node, mini: Node) -> None:
    cases = [
        (mini, "vps", "not_a_signer", "on laptop: relay broker evict"),
        (mini, "mini", "not_a_signer", "on laptop: relay broker evict"),
        (laptop, "laptop", "usage", "relay broker evict BROKER"),
        (mini, "laptop", "usage", "relay broker evict BROKER"),
        (laptop, "nobody", "unknown_broker", "relay brokers"),
    ]
    for node, name, code, hint in cases:
        error = error_of(relay(node, "--json", "broker", "evict", name))
        assert error["code"] == code and error["hint"].startswith(hint), error
    assert error_of(relay(laptop, "--json", "broker", "evict", "mini", "--reason", "x" * 257))["code"] == "usage"


def _shown(laptop: Node, mini: Node) -> None:
    roster = relay_json(laptop, "brokers", "--roster")
    assert [(each["name"], each["signer"], each["admitted_by"]["name"]) for each in roster["members"]] == [
        ("laptop", True, "laptop"),
        ("vps", False, "laptop"),
        ("desk", False, "laptop"),
    ]
    (gone,) = roster["evicted"]
    assert (gone["id"], gone["name"], gone["by"]["name"], gone["reason"]) == (mini.id, "mini", "laptop", "lost")
    printed = relay(laptop, "brokers", "--roster").stdout.decode()
    assert "PUT OUT" in printed and "lost" in printed


def _admitted_again(laptop: Node, mini: Node) -> None:
    """A new invitation lets it in; its grants do not come back."""
    link = relay_json(laptop, "invite", "--link")["link"]
    relay_json(mini, "join", link)
    wait_until(lambda: "mini" in _links(laptop), 20, "it to be linked")
    assert relay_json(laptop, "trust", "list") == []
    assert relay_json(laptop, "brokers", "--roster")["evicted"] == []

"""Presence words and gates nothing: online, gone with a goodbye or without a word, and unknown as unknown."""

from __future__ import annotations

import json
import re
from typing import Any

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, relay, relay_json, started


def _vps(two: Scene) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in relay_json(two.laptop, "brokers") if each["name"] == "vps")
    return found


def _away(two: Scene, presence: str) -> dict[str, Any]:
    return wait_until(lambda: (vps := _vps(two))["presence"] == presence and vps, 12, f"vps to be {presence}")


def test_online_then_down_then_gone(two: Scene) -> None:
    vps = _vps(two)
    assert (vps["presence"], vps["online"], vps["link"], vps["trouble"]) == ("online", True, "direct", None)
    assert abs(vps["clock_skew_ms"]) < 60_000
    wait_until(lambda: _vps(two)["outbox_for_us"] == 0, 15, "vps to say that nothing waits there")
    assert relay_json(two.laptop, "status")["brokers"]["online"] >= 1
    assert b"online" in relay(two.laptop, "brokers").stdout
    two.vps.stop()
    vps = _away(two, "down")
    assert (vps["online"], vps["link"], vps["rtt_ms"]) == (False, None, None) and vps["last_seen"]
    assert b"stopped, as it said, seen" in relay(two.laptop, "brokers").stdout
    assert relay_json(two.laptop, "status")["brokers"]["away"] == 1
    two.vps.start()
    two.linked()
    two.vps.kill()
    _away(two, "gone")
    assert b"gone without a word, seen" in relay(two.laptop, "brokers").stdout
    # what was known of it outlives a kill of the one who knows, from when that is written down
    wait_until(lambda: _told(two)[-1] == "gone", 10, "it to be written down")
    two.laptop.restart()
    assert _vps(two)["presence"] == "gone"
    found = relay_json(two.laptop, *two.words("shell", "true", name="-"))
    assert found["state"] == "queued" and "gone without a word" in found["ack"]
    relay_json(two.laptop, "stop", found["id"])


def test_unknown_is_unknown(two: Scene) -> None:
    """This broker went first: how the other stands nobody has seen."""
    two.laptop.kill()
    two.vps.stop()
    two.laptop.start()
    vps = _vps(two)
    assert vps["presence"] is None and vps["online"] is None
    assert b"unknown" in relay(two.laptop, "brokers").stdout
    others = len(relay_json(two.laptop, "brokers")) - 1  # other tests have members come and go
    assert relay_json(two.laptop, "status")["brokers"] == {"online": 0, "away": 0, "unknown": others}


def _events(node: Node) -> list[dict[str, Any]]:
    return [json.loads(line) for line in relay(node, "--json", "events", "--since", "0").stdout.splitlines()]


def _told(two: Scene) -> list[str | None]:
    """What laptop has written down of vps, oldest first."""
    told = [each for each in _events(two.laptop) if each["kind"] == "broker.presence"]
    return [each["presence"] for each in told if each["broker"] == two.vps.id]


def test_subscribers_hear_of_it(two: Scene) -> None:
    last = _events(two.laptop)[-1]["seq"]
    with started(two.laptop, "--json", "events", "-f", "--since", str(last)) as following:
        assert following.stdout is not None
        two.vps.restart()
        seen: list[str | None] = []
        while seen[-2:] != ["gone", "online"]:
            event = json.loads(following.stdout.readline())
            if event["kind"] == "broker.presence" and event["broker"] == two.vps.id:
                seen.append(event["presence"])


def test_a_neighbour_s_record_does_not_bring_back_who_said_goodbye() -> None:
    """vps names its link to mini until its links have settled; laptop has heard mini's goodbye itself."""
    with Mesh.scratch() as mesh:
        laptop, _ = mesh.pair("laptop", "vps")
        mini = mesh.join(laptop, "mini")

        def named() -> bool:
            return mini.id in [each["id"] for each in relay_json(laptop, "broker", "show", "vps")["linked"]]

        def seen() -> dict[str, Any]:
            found: dict[str, Any] = next(each for each in relay_json(laptop, "brokers") if each["name"] == "mini")
            return found

        wait_until(named, 20, "laptop to hear that vps and mini are linked")
        mini.stop()
        wait_until(lambda: seen()["presence"] == "down", 12, "mini's goodbye")

        def is_told() -> bool:
            found = seen()
            assert (found["online"], found["link"], found["via"]) == (False, None, None), found
            return not named()

        wait_until(is_told, 20, "vps to name mini no more")


def test_what_we_may_do_there_is_known_from_its_own_word_with_its_age(two: Scene) -> None:
    """And it follows what is granted there while the two are linked."""

    def may_there() -> object:
        return _vps(two)["grants"]["to_us"]

    wait_until(lambda: may_there() == [], 10, "the word that nothing is granted")
    two.grant()
    wait_until(lambda: may_there() == ["spawn"], 10, "the word of the grant")
    assert two.laptop.relay_json("broker", "show", "vps")["grants"]["to_us_at"] is not None
    assert "we may there: spawn\n" in re.sub(" +", " ", two.laptop.relay("broker", "show", "vps").stdout)
    two.vps.stop()
    wait_until(lambda: "spawn (as of " in two.laptop.relay("brokers").stdout, 10, "the age of that word")
    (two.vps.home / "trust.toml").unlink()
    two.vps.start()
    wait_until(lambda: may_there() == [], 20, "the word of the broker that came back")

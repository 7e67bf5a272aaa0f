"""A grant's rate, hours and directory on real brokers; what `relay trust test` says; a broken file, live."""

from __future__ import annotations

import time

from relay.api.durations import moment
from relay.testing import processes
from tests.e2e.scene import Scene, fresh, put, relay, relay_json, tasks_alive

WITHIN = 15.0


def _state(two: Scene, spawn: str) -> str:
    return str(relay_json(two.laptop, "show", spawn)["state"])


def _ended(two: Scene, spawn: str) -> None:
    processes.wait_until(lambda: _state(two, spawn) == "completed", WITHIN, f"the end of {spawn}")


def test_beyond_the_rate_a_spawn_waits_and_starts_by_itself(two: Scene) -> None:
    two.grant("--agent", "shell", "--rate", "1/3s")
    begun = time.time()  # and not the start of the first, which is written down when its shim gets to it
    first = relay_json(two.laptop, *two.words("shell", "true"), "--wait")
    second = relay_json(two.laptop, *two.words("shell", "true"), "--wait")
    assert second["state"] == "completed"
    assert moment(second["started"]) > begun + 3 - 0.01, (begun, first["started"], second["started"])


def test_out_of_hours_a_spawn_waits_and_goes_when_the_hours_are_given(two: Scene) -> None:
    far = (time.localtime().tm_wday + 3) % 7
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[far]
    two.grant("--agent", "shell", "--hours", f"{day} 03:00-04:00")
    spawn = relay_json(two.laptop, *two.words("shell", "true"))["id"]
    processes.wait_until(lambda: _state(two, spawn) == "waiting", WITHIN, "its waiting")
    assert f"{day} 03:00-04:00" in relay_json(two.vps, "show", spawn)["reason"]
    told = relay_json(two.vps, "trust", "test", two.laptop.id, "--agent", "shell", "--dir", str(two.vps.work))
    assert told["allowed"] and day in told["waits"]
    relay_json(two.vps, "trust", "allow", two.laptop.id, "--hours", "any")
    _ended(two, spawn)


def test_a_directory_that_became_a_link_while_it_waited_is_not_entered(two: Scene) -> None:
    two.grant("--agent", "shell")
    two.vps.relay("queue", "pause")
    place, outside = two.vps.work / fresh("dir"), two.vps.scratch / fresh("outside")
    place.mkdir()
    outside.mkdir()
    try:
        spawn = relay_json(two.laptop, *two.words("shell", "touch here", cwd=place))["id"]
        processes.wait_until(lambda: _state(two, spawn) == "waiting", WITHIN, "its waiting")
        place.rmdir()
        place.symlink_to(outside)
    finally:
        two.vps.relay("queue", "resume")
    processes.wait_until(lambda: _state(two, spawn) == "rejected", WITHIN, "its refusal")
    assert relay_json(two.laptop, "show", spawn)["error"]["code"] == "foreign_directory"
    assert not [*outside.iterdir()]


def test_trust_test_says_what_each_field_says_and_where_a_link_leads(two: Scene) -> None:
    two.grant("--agent", "*", "--ask")
    link = two.vps.work / fresh("link")
    link.symlink_to("/etc")
    words = ("trust", "test", two.laptop.id, "--agent", "shell", "--dir", str(link), "--mode", "full")
    told = relay_json(two.vps, *words, status=1)
    said = {each["field"]: each["verdict"] for each in told["fields"]}
    assert told["directory"] == "/etc" and not told["allowed"] and told["directory_exists"]
    missing = ("trust", "test", two.laptop.id, "--dir", str(two.vps.work / "missing"))
    assert relay_json(two.vps, *missing, status=None)["directory_exists"] is False
    assert {key: said[key] for key in ("verbs", "agents", "dirs", "mode", "ask", "hours")} == {
        "verbs": "yes",
        "agents": "no",
        "dirs": "no",
        "mode": "no",
        "ask": "held",
        "hours": "yes",
    }
    printed = relay(two.vps, *words).stdout.decode()
    assert f"{link} is /etc here" in printed and "granted by name only" in printed


def test_a_file_broken_while_the_broker_runs_denies_everybody_and_one_mended_allows_again(two: Scene) -> None:
    two.grant("--agent", "shell")
    trust = two.vps.home / "trust.toml"
    whole = trust.read_text()
    trust.write_text(whole + "\nrate = 'often'\n")
    refused = relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
    assert refused["error"]["code"] == "bad_trust_file"
    # what stands in the file, and where it is, is its owner's affair
    assert "often" not in str(refused) and str(two.vps.home) not in str(refused["error"])
    assert refused["error"]["hint"] == "on vps: relay trust list"
    line = len(whole.splitlines()) + 2
    told = relay(two.vps, "trust", "test", two.laptop.id)
    assert told.returncode != 0 and f"line {line}".encode() in told.stderr
    trust.write_text(whole)
    assert relay_json(two.laptop, *two.words("shell", "true"), "--wait")["state"] == "completed"


def test_a_grant_that_expires_ends_what_it_allowed_and_the_link_it_came_over(two: Scene) -> None:
    two.grant("--agent", "shell", "--expires", "1h")
    running = two.begin("sleep 80")
    two.until(running, "running")
    since = relay_json(two.vps, "broker", "show", two.laptop.id)["link"]["since"]
    two.grant("--agent", "shell", "--expires", "1s")
    ended = two.until(running, "cancelled")
    assert ended["reason"].endswith("its grant having expired"), ended["reason"]
    assert not tasks_alive(running)
    _await_another_link(two, since)
    refused = relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
    assert refused["error"]["code"] == "grant_expired"


def test_a_grant_taken_away_while_the_broker_was_down_ends_what_outlived_it(two: Scene) -> None:
    two.grant("--agent", "shell")
    running = two.begin("sleep 80")
    two.until(running, "running")
    two.vps.kill()
    assert tasks_alive(running)
    (two.vps.home / "trust.toml").unlink()
    two.vps.start()
    assert two.until(running, "cancelled")["reason"].endswith("its grant being revoked")
    assert not tasks_alive(running)


def test_a_link_ends_with_the_verb_that_was_taken_out_of_the_file(two: Scene) -> None:
    two.grant("--agent", "shell", "--verb", "forward")
    since = relay_json(two.vps, "broker", "show", two.laptop.id)["link"]["since"]
    trust = two.vps.home / "trust.toml"
    running = two.begin("sleep 80")
    two.until(running, "running")
    put(trust, trust.read_text().replace('"forward"', '"view"'))

    _await_another_link(two, since)
    assert tasks_alive(running)
    relay(two.laptop, "stop", running)


def _await_another_link(two: Scene, since: str) -> None:
    """Wait until vps has a link to laptop that came up after this moment."""

    def is_another() -> bool:
        link = relay_json(two.vps, "broker", "show", two.laptop.id)["link"]
        return link is not None and bool(link["since"] > since)

    processes.wait_until(is_another, WITHIN, "another link")


def test_a_grant_taken_out_of_the_file_by_hand_ends_what_it_allowed(two: Scene) -> None:
    two.grant("--agent", "shell")
    trust = two.vps.home / "trust.toml"
    whole = trust.read_text()
    running = two.begin("sleep 80")
    two.until(running, "running")
    # a file that is broken for a moment, or read by others, ends nothing
    put(trust, whole + "\nrate = 'often'\n")
    refused = relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
    assert refused["error"]["code"] == "bad_trust_file" and tasks_alive(running)
    put(trust, whole)
    assert relay_json(two.laptop, *two.words("shell", "true"), "--wait")["state"] == "completed"
    assert tasks_alive(running)
    put(trust, whole.partition("[brokers")[0])
    processes.wait_until(lambda: not tasks_alive(running), 5, "its task to end", every=0.05)
    assert two.until(running, "cancelled")["reason"].endswith("its grant being revoked")

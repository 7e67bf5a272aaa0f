"""What a device may ask for: each route has a scope, and one that has none is for no device."""

from __future__ import annotations

import http.client
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from relay.api import config
from relay.api.home import Home
from relay.broker.assembly import Running
from relay.broker.broker import Broker
from relay.broker.control.application import everything
from relay.broker.control.catalogue import CATALOGUE, LIVE, PREFIX, SCOPE_OF
from relay.broker.dashboard_seat import Face
from relay.broker.taking_in import load_keys
from relay.core.ids import broker_id
from relay.core.scopes import SCOPES
from relay.spawn.launcher import Launcher
from relay.spawn.watch import Watcher
from relay.store.engine import Store
from relay.testing import processes
from relay.testing.mesh import Mesh
from tests.dashboard.browser import Browser
from tests.dashboard.raw import head, raw


async def test_every_route_of_the_application_has_a_scope_and_nothing_else_has() -> None:
    """Asked of the application itself: what it serves is what the catalogue describes, each once."""
    with Mesh.scratch("relay-dash-") as mesh:
        home = Home(str(mesh.add("routes", started=False).home))
        watcher = Watcher()
        running = Running(home, config.load(home), load_keys(home), "0", Launcher(watcher, Path(home.log)), watcher)
        running.open_face = _never
        running.store = await Store.open(Path(home.database))
        await running.put_together()
        routes = [route for route in everything(running.broker).routes if isinstance(route, Route)]
        await running.store.close()
        watcher.close()
    served = Counter((method, each.path) for each in routes for method in (each.methods or ()) if method != "HEAD")
    assert served == Counter((method, f"{PREFIX}{path}") for method, path in SCOPE_OF)
    assert len(CATALOGUE) == len(SCOPE_OF)
    assert set(SCOPE_OF) >= LIVE


async def _never(broker: Broker, ports: tuple[int, ...]) -> Face:
    raise AssertionError("nobody asked for it")


def test_a_get_needs_view_and_nothing_that_changes_grants_or_members_needs_less_than_trust() -> None:
    assert {scope for (method, _), scope in SCOPE_OF.items() if method == "GET"} == {"view"}
    assert set(SCOPE_OF.values()) == {*SCOPES, None}
    risky = ("invites", "joins", "grants/", "/rename", "/forget", "/evict", "/promote", "/demote", "rotate", "down")
    for (method, path), scope in SCOPE_OF.items():
        if method == "POST" and any(part in path for part in (*risky, "identity", "devices")):
            assert scope == "trust", path


@pytest.fixture(scope="module")
def viewer(browser: Browser) -> Browser:
    return Browser.of(browser.node, "view")


@pytest.mark.parametrize(
    ("path", "scope"),
    [("spawns", "spawn"), ("answers", "approve"), ("invites", "trust"), ("grants/x/allow", "trust"),
     ("spawns/x/attach", "terminal"), ("dashboard/devices/x/revoke", "trust"), ("down", "trust"), ("clean", "spawn")],
)  # fmt: skip
def test_a_device_is_refused_what_it_has_no_scope_for(viewer: Browser, path: str, scope: str) -> None:
    refused = viewer.post(path)
    assert (refused.status, refused.code) == (403, "no_scope")
    assert refused.document["error"]["why"] == f"it needs the scope {scope}"


def test_what_is_no_route_is_refused_as_one_without_scope(browser: Browser) -> None:
    for method, path in (("GET", "nothing"), ("POST", "status"), ("DELETE", "spawns"), ("GET", "spawns/")):
        answer = browser.ask(method, f"/api/v1/{path}", Origin=browser.origin)
        assert (answer.status, answer.code) == (403, "no_scope")


def test_each_scope_lets_what_it_says(browser: Browser) -> None:
    node = browser.node
    runner = Browser.of(node, "view", "spawn")
    made = runner.post("spawns", "op-1", name="-", agent="exec", argv=[sys.executable, "-c", ""], cwd=str(node.work))
    assert made.status == 201
    assert runner.get(f"spawns/{made.document['id']}/wait?seconds=30")["state"] == "completed"
    assert Browser.of(node, "spawn").ask("GET", "/api/v1/status").code == "no_scope"
    assert Browser.of(node, "approve").post("resolutions", spawns=["nobody"], **{"as": "done"}).code == "unknown_spawn"
    assert Browser.of(node, "terminal").post("spawns/nobody/attach").code == "unknown_spawn"


def test_every_post_of_a_device_is_in_the_audit_log(viewer: Browser, browser: Browser) -> None:
    viewer.post("down")
    browser.post("person")
    actor = f"device {viewer.device['id']}"
    entries = browser.get("audit?limit=200")
    assert ("refused", "no_scope", "POST /api/v1/down") in _of(entries, actor)
    assert ("allowed", "", "POST /api/v1/person") in _of(entries, f"device {browser.device['id']}")
    assert any(each["kind"] == "dashboard session" and each["actor"] == actor for each in entries)


def _of(entries: list[dict[str, str]], actor: str) -> list[tuple[str, str, str]]:
    return [(each["decision"], each["code"], each["detail"]) for each in entries if each["actor"] == actor]


def test_a_device_is_revoked_by_its_name_and_then_refused(browser: Browser) -> None:
    leaving = Browser.of(browser.node, "view")
    assert leaving.get("status")["running"]
    listed = {each["id"]: each for each in browser.get("dashboard/devices")}
    assert listed[leaving.device["id"]]["fingerprint"] == leaving.device["fingerprint"]
    assert listed[leaving.device["id"]]["last_used"] is not None
    assert browser.post(f"dashboard/devices/{leaving.device['id'][:12]}/revoke").status == 200
    assert leaving.ask("GET", "/api/v1/status").code == "no_token"
    assert browser.post("dashboard/devices/nobody/revoke").status == 404
    assert any(each["kind"] == "dashboard revoke" for each in browser.get("audit?limit=20"))


def test_what_a_revoked_device_was_being_told_ends(browser: Browser) -> None:
    """An answer that goes on for ever is no way around it."""
    leaving = Browser.of(browser.node, "view")
    connection = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=10)
    headers = {"Authorization": f"Bearer {leaving.token}"}
    connection.request("GET", "/api/v1/events?follow=1&since=0", headers=headers)
    answer = connection.getresponse()
    assert answer.readline()
    browser.post(f"dashboard/devices/{leaving.device['id']}/revoke")
    assert answer.read() is not None  # to its end
    connection.close()
    processes.wait_until(lambda: leaving.ask("GET", "/api/v1/status").status == 401, 20, "the end of its token")


def test_an_order_half_said_when_its_device_is_revoked_is_not_carried_out(browser: Browser) -> None:
    leaving, body = Browser.of(browser.node, "view", "spawn"), b'{"operation": "half"}'
    asked = (f"Authorization: Bearer {leaving.token}", f"Content-Length: {len(body)}", "Connection: close")
    with raw(browser) as sender:
        sender.say(head(browser, "POST /api/v1/queue/pause HTTP/1.1", *asked) + body[:5])
        allowed = ("allowed", "", "POST /api/v1/queue/pause")
        actor = f"device {leaving.device['id']}"
        processes.wait_until(lambda: allowed in _of(browser.get("audit?limit=20"), actor), 20, "its order to be begun")
        browser.post(f"dashboard/devices/{leaving.device['id']}/revoke")
        sender.say(body[5:])
        assert b"no_token" in sender.rest()
    assert browser.get("status")["queue"]["paused"] is None


def test_half_a_letter_is_a_bad_request_and_no_news(browser: Browser) -> None:
    before = len(browser.node.log())
    for path, words in {"answers": {"spawn": "\ud800", "verb": "deny"}, "calls": {"tool": "\ud800"}}.items():
        answer = browser.post(path, **words)
        assert (answer.status, answer.code) == (400, "usage"), answer.data
    assert "Traceback" not in browser.node.log()[before:]


def test_grants_are_given_and_taken_as_by_the_command(browser: Browser) -> None:
    """A full id may be nobody's yet; the file is the one that the command reads and writes."""
    node, other = browser.node, _an_id()
    words = {"profile": "runner", "dirs": [str(node.work)], "mode": "full", "max_parallel": 3, "rate": "5/1h"}
    given = browser.post(f"grants/{other}/allow", "grant-1", **words)
    assert given.status == 200, given.data
    assert browser.post(f"grants/{other}/allow", "grant-1", mode="plan").document == given.document
    assert browser.post(f"grants/{other}/revoke", "grant-1").code == "conflict"
    assert [given.document] == node.relay_json("trust", "list") == browser.get("grants")
    assert (given.document["mode"], given.document["max_parallel"], given.document["expires"]) == ("full", 3, None)
    assert browser.post(f"grants/{other}/allow", "grant-2", expires="1h").document["expires"] is not None
    assert browser.post(f"grants/{other}/revoke", "grant-3").document["revoked"] is True
    assert browser.post(f"grants/{other}/revoke", "grant-4").document["revoked"] is False
    assert node.relay_json("trust", "list") == []


@pytest.mark.parametrize(
    "words",
    [{}, {"profile": "all"}, {"mode": "root"}, {"dirs": "x"}, {"dirs": [1]}, {"max_parallel": True}, {"ask": 1},
     {"expires": "soon"}, {"rate": "many"}, {"hours": ["always"]}, {"verbs": ["x"]}, {"dirs": ["\0"]}],
)  # fmt: skip
def test_a_grant_that_is_none_is_not_given(browser: Browser, words: dict[str, Any]) -> None:
    answer = browser.post(f"grants/{_an_id()}/allow", **words)
    assert answer.status == 400, answer.data
    assert browser.get("grants") == []


def _an_id() -> str:
    return broker_id(bytes(range(32)))

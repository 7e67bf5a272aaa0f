"""Browsers are told by Web Push: sealed for each, signed by this broker, with its device, and gone with it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from relay.api.home import Home
from relay.broker.notify.webpush import sealed
from relay.core.push import Subscription
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.dashboard.browser import Browser
from tests.e2e.scene import audit, error_of, fresh, relay, relay_json
from tests.notify.push_service import AUTH, PushService, unb64


def test_it_is_encrypted_as_in_the_example_of_the_standard() -> None:
    """RFC 8291, section 5."""
    own = ec.derive_private_key(
        int.from_bytes(unb64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    key = unb64("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    to = Subscription("https://push.example.net/", key, unb64("BTBZMqHH6r4Tts7J_aSIgg"))
    text = b"When I grow up, I want to be a watermelon\2"
    assert sealed(to, text, own, unb64("DGv6ra1nlYgDCS1FRnbzlw")) == unb64(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
        "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_a_key_that_is_no_point_is_refused() -> None:
    own, to = ec.generate_private_key(ec.SECP256R1()), Subscription("https://x/", b"\4" + bytes(64), AUTH)
    with pytest.raises(ValueError):
        sealed(to, b"x\2", own, AUTH)


@pytest.fixture(scope="module")
def service() -> Iterator[PushService]:
    with PushService() as made:
        yield made


@pytest.fixture(scope="module")
def node(service: PushService) -> Iterator[Node]:
    with Mesh.scratch("relay-push-") as mesh:
        made = mesh.add("laptop", started=False)
        made.configure(f'dashboard = {{ port = 0, push_hosts = ["{service.origin}"] }}')
        made.start()
        yield made
        assert "Traceback" not in made.log(), made.log()[-6000:]


@pytest.fixture
def told(node: Node, service: PushService) -> Iterator[Browser]:
    """A browser that is told, and may only look."""
    service.got.clear()
    service.answers.clear()
    service.on_request = lambda: None
    browser = Browser.of(node, "view")
    answer = browser.post("dashboard/push", **service.subscription())
    assert (answer.status, answer.document["on"]) == (201, True), answer.data
    yield browser
    relay(node, "dashboard", "devices", "revoke", browser.device["id"])
    assert relay_json(node, "notify", "list") == []


def _ran(node: Node, script: str, *options: str) -> tuple[str, str]:
    name = fresh("push")
    words = ("spawn", name, "shell", script, "--cwd", str(node.work), "--timeout", "90s")
    return name, str(relay_json(node, *words, *options)["id"])


def _delivery(node: Node, spawn: str) -> dict[str, object]:
    def found() -> dict[str, object] | None:
        with node.control() as control:
            (first, *_) = control.get(f"notify/sent?spawn={spawn}") or [None]
        return first if first and first["ended"] else None

    return wait_until(found, 30, "the delivery to be over") or {}


def test_an_end_is_pushed_in_the_true_words_and_nobody_between_can_read_it(
    told: Browser, node: Node, service: PushService
) -> None:
    name, spawn = _ran(node, "exit 3")
    came = service.wait_for(name)
    assert came.told == {
        "title": f"{name} on laptop ran into trouble: the task ended with exit code 3",
        "body": "",
        "event": came.headers["topic"],
        "spawn": spawn,
    }
    assert came.claims["key"] == told.get("dashboard/push")["key"]
    told_as = [came.headers[name] for name in ("content-encoding", "urgency", "ttl")]
    assert told_as == ["aes128gcm", "high", "86400"]
    other, _ = _ran(node, "true")
    assert service.wait_for(other).length == came.length  # how long it is tells nothing
    delivery = _delivery(node, spawn)
    assert (delivery["state"], delivery["event"], delivery["tries"]) == ("delivered", came.told["event"], 1)
    key = Path(Home(node.home).push_key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_neither_the_endpoint_nor_its_keys_are_told_or_kept_in_the_clear(
    told: Browser, node: Node, service: PushService
) -> None:
    secret = f"/{fresh('secretpath')}x"
    told.post("dashboard/push", "2", **service.subscription(secret))
    service.answers[secret] = 500
    _, spawn = _ran(node, "true")
    wait_until(lambda: (relay_json(node, "notify", "list") or [{}])[0].get("trouble"), 20, "the first try")
    seen = relay(node, "--json", "notify", "list").stdout + relay(node, "--json", "notify", "sent").stdout
    assert b"webpush" in seen and b"500" in seen
    stored = b"".join(path.read_bytes() for path in Path(node.home).glob("relay.db*"))
    for text in (secret.strip("/"), service.subscription()["key"], service.subscription()["auth"]):
        assert text.encode() not in seen + stored + node.log().encode()
    service.answers.clear()
    assert _delivery(node, spawn)["state"] == "delivered"  # it was tried again


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_told_no_more(told: Browser, node: Node, service: PushService, status: int) -> None:
    service.answers["/one"] = status
    _, spawn = _ran(node, "true")
    delivery = _delivery(node, spawn)
    assert delivery["state"] == "failed" and str(status) in str(delivery["error"])
    assert relay_json(node, "notify", "list") == []
    assert told.get("dashboard/push")["on"] is False
    assert any(each["kind"] == "notify" and "it is gone" in each["detail"] for each in audit(node))
    assert service.got == []


def test_a_service_that_sends_elsewhere_is_not_followed(told: Browser, node: Node, service: PushService) -> None:
    service.answers["/one"] = 302
    told_how = relay(node, "--json", "notify", "test", f"push-{told.device['id']}")
    assert told_how.returncode == 1 and b"302" in told_how.stdout
    assert service.got == []


def test_a_test_says_whether_it_arrives(told: Browser, node: Node, service: PushService) -> None:
    assert relay(node, "notify", "test", f"push-{told.device['id']}").returncode == 0
    assert service.got[0].told["title"].startswith("Relay on laptop: a test of push-")
    assert service.got[0].told["spawn"] == ""


def test_it_goes_with_the_device_and_each_device_has_one(told: Browser, node: Node, service: PushService) -> None:
    leaving = Browser.of(node, "view")
    leaving.post("dashboard/push", **service.subscription("/two"))
    leaving.post("dashboard/push", "again", **service.subscription("/three"))
    assert len(relay_json(node, "notify", "list")) == 2
    name, _ = _ran(node, "true")
    wait_until(lambda: len(service.told_of(name)) == 2, 20, "both to be told")
    assert sorted(each.path for each in service.told_of(name)) == ["/one", "/three"]
    assert leaving.post("dashboard/push/off").document["on"] is False
    leaving.post("dashboard/push", "3", **service.subscription("/three"))
    relay(node, "dashboard", "devices", "revoke", leaving.device["id"])
    assert [each["name"] for each in relay_json(node, "notify", "list")] == [f"push-{told.device['id']}"]


def test_another_service_another_form_and_another_asker_are_refused(
    told: Browser, node: Node, service: PushService
) -> None:
    good = service.subscription()
    wrong: list[dict[str, Any]] = [{**good, "endpoint": "https://evil.example/x"}, {**good, "key": "x"}, {}]
    wrong += [{**good, "endpoint": "http://127.0.0.1:1/x"}, {**good, "auth": None}]
    for each in wrong:
        answer = told.post("dashboard/push", **each)
        assert (answer.status, answer.code) == (400, "bad_channel"), answer.data
    address = f"webpush://{good['endpoint']}#{good['key']}.{good['auth']}"
    refused = relay(node, "--json", "notify", "add", "x", typed=address.encode())
    assert error_of(refused)["code"] == "bad_channel"
    with node.control() as control, pytest.raises(Exception, match="a browser asks this for itself"):
        control.post("dashboard/push", dict(good))


def test_a_broker_that_is_killed_while_it_pushes_tells_it_once_more_at_most(
    told: Browser, node: Node, service: PushService
) -> None:
    service.on_request = lambda: node.kill() if len(service.got) == 1 else None  # type: ignore[assignment]
    name, spawn = _ran(node, "sleep 0.3")
    wait_until(lambda: not node.running, 30, "its death in the middle")
    node.start()
    assert _delivery(node, spawn)["state"] == "delivered"
    came = service.told_of(name)
    assert 1 <= len(came) <= 2 and len({each.told["event"] for each in came}) == 1

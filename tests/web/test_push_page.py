"""Being told on a device by Web Push: turned on and off on the page, and what its worker makes of what comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay, relay_json
from tests.notify.push_service import PushService
from tests.web.browser import Visit, link

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.web

# the browser's maker has a service that no test may ask: what it would answer stands in its place
_SERVICE = """
(told) => {
  const plain = (text) => atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = (text) => Uint8Array.from(plain(text), (each) => each.charCodeAt(0)).buffer;
  let now = null;
  PushManager.prototype.getSubscription = async () => now;
  PushManager.prototype.subscribe = async (options) => (now = {
    endpoint: told.endpoint, options: { applicationServerKey: options.applicationServerKey.buffer },
    getKey: (name) => bytes(name === "auth" ? told.auth : told.key),
    unsubscribe: async () => { now = null; return true; },
  });
}
"""


@pytest.fixture(scope="module")
def service() -> Iterator[PushService]:
    with PushService() as made:
        yield made


@pytest.fixture(scope="module")
def node(service: PushService) -> Iterator[Node]:
    with Mesh.scratch("relay-web-push-") as mesh:
        made = mesh.add("laptop", started=False)
        made.configure(f'dashboard = {{ port = 0, push_hosts = ["{service.origin}"] }}')
        made.start()
        yield made


@pytest.fixture
def at(browser: Browser, node: Node, service: PushService) -> Iterator[Visit]:
    context = browser.new_context(permissions=["notifications"])
    made = Visit(context.new_page())
    made.listen()
    made.page.add_init_script(f"({_SERVICE})({json.dumps(service.subscription())})")
    made.page.goto(link(node, "--scopes", "view"))
    made.page.get_by_role("heading", name="Agents").wait_for()
    made.settled()
    yield made
    context.close()
    assert made.faults == []


def _worker(page: Page) -> Any:
    """The page's worker, once it is active, with a session that may tell it something."""
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    session = page.context.new_cdp_session(page)
    found: list[str] = []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(
        each["registrationId"] for each in event["registrations"]
    ))
    session.send("ServiceWorker.enable")
    wait_until(lambda: page.evaluate("1") and found, 10, "the worker's number")
    return session, found[0]


def test_a_device_is_told_once_it_wants_to_be_and_no_more_when_it_does_not(
    at: Visit, node: Node, service: PushService
) -> None:
    at.page.get_by_role("button", name="Notifications are off").click()
    expect(at.page.get_by_role("button", name="Notifications are on, also when this page is closed")).to_be_visible()
    (channel,) = relay_json(node, "notify", "list")
    assert channel["service"] == "webpush://…"
    relay(node, "spawn", "told", "exec", "--cwd", str(node.work), "--wait", "--", "true")
    assert service.wait_for("told").told["title"] == "told on laptop finished"
    at.page.reload()
    at.page.get_by_role("button", name="Notifications are on, also when this page is closed").click()
    expect(at.page.get_by_role("button", name="Notifications are off")).to_be_visible()
    at.page.wait_for_timeout(4_000)  # after three seconds it looks whether it is still told, as it was when it came
    assert relay_json(node, "notify", "list") == []


def test_what_comes_is_shown_by_the_worker_and_leads_to_the_spawn(at: Visit, node: Node) -> None:
    session, number = _worker(at.page)
    shown = "navigator.serviceWorker.ready.then((it) => it.getNotifications())"
    shown = f"{shown}.then((all) => all.map((each) => [each.title, each.tag, each.data]))"
    spawn = "abcdefghij234567"
    told = {"title": "x on laptop finished", "body": "", "event": "e", "spawn": spawn}
    ours = {"origin": at.page.url.partition("/#")[0], "registrationId": number}

    def both() -> list[list[str]]:
        # a worker that is not awake yet may miss one; what is told again stands in the place of the first
        for data in (json.dumps(told), "no JSON of ours"):
            session.send("ServiceWorker.deliverPushMessage", {**ours, "data": data})
        found: list[list[str]] = at.page.evaluate(shown)
        return found if len(found) == 2 else []

    assert sorted(wait_until(both, 20, "both to be shown", every=0.5)) == [
        ["Something happened on one of your machines", "relay", "/"],
        ["x on laptop finished", spawn, f"/#/agents?spawn={spawn}"],
    ]


def test_where_the_service_cannot_be_reached_it_says_so_and_tells_while_it_is_open(at: Visit, node: Node) -> None:
    at.page.evaluate("() => { PushManager.prototype.subscribe = async () => { throw new Error('no service'); }; }")
    at.page.get_by_role("button", name="Notifications are off").click()
    expect(at.page.locator("#toasts")).to_contain_text("not when it is closed: no service")
    expect(at.page.get_by_role("button", name="Notifications are on while this page is open")).to_be_visible()
    assert relay_json(node, "notify", "list") == []

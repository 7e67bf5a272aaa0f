"""Pairing, trust and the state of links by the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene
from tests.web.conftest import Open

pytestmark = pytest.mark.web


def test_a_machine_is_paired_trusted_and_put_out_by_the_page(visit: Open) -> None:
    with Mesh.scratch("relay-web-pair-") as mesh:
        laptop = mesh.add("laptop")
        at = visit(laptop)
        at.page.keyboard.press("2")
        at.page.get_by_role("button", name="Pair a machine").click()
        box = at.page.get_by_role("dialog")
        command = box.locator("pre")
        expect(command).to_contain_text("relay join")
        at.picture("pair")
        mini = mesh.add("mini")
        joined = mini.relay_json(*command.inner_text().split()[1:])
        expect(box).to_contain_text("mini joined")
        expect(box.locator(".code")).to_have_text(joined["compare"])
        box.get_by_role("button", name="Close").click()
        mesh.await_link(laptop, mini)
        row = at.page.locator(f"tr[data-broker='{mini.id}']")
        expect(row).to_contain_text("online")
        row.get_by_role("link").click()
        at.page.get_by_role("button", name="Trust …").click()
        box.get_by_label("In these directories").fill(str(laptop.work))
        box.get_by_label("And these agents").fill("shell")
        box.get_by_label("ask a person").uncheck()
        box.get_by_role("button", name="Allow").click()
        expect(row).to_contain_text("spawn")
        at.picture("mesh")
        words = ("spawn", "by-page", "shell", "true", "--broker", "laptop", "--cwd", str(laptop.work), "--wait")
        done = mini.relay_json(*words)
        assert done["state"] == "completed"
        at.page.get_by_role("button", name="Ping").click()
        expect(at.page.locator("#toasts")).to_contain_text("mini answered in")
        at.page.get_by_role("button", name="Evict …").click()
        box.get_by_role("button", name="Evict").click()
        expect(row).to_have_count(0)
        at.page.context.close()


def test_the_mesh_says_how_each_machine_stands(two: Scene, visit: Open) -> None:
    two.grant()
    at = visit(two.laptop)
    at.page.keyboard.press("2")
    row = at.page.locator(f"tr[data-broker='{two.vps.id}']")
    expect(row).to_contain_text("online")
    expect(row).to_contain_text("direct")
    expect(at.page.locator("svg.picture")).to_have_attribute("aria-label", "Links of laptop: vps direct")
    two.vps.stop()
    expect(row).to_contain_text("stopped, last seen")
    expect(row.get_by_role("cell").nth(2)).to_have_text("unknown")  # a round trip that is not known is no zero


def test_a_device_that_is_revoked_is_signed_out_at_once(two: Scene, visit: Open) -> None:
    one, other = visit(two.laptop), visit(two.laptop)
    one.page.keyboard.press("2")
    devices = one.page.get_by_role("region", name="Devices")
    newest = two.laptop.relay_json("dashboard", "devices", "list")
    fingerprint = max(newest, key=lambda each: str(each["created"]))["fingerprint"]
    devices.locator("li", has_text=fingerprint).get_by_role("button").click()
    one.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(one.page.locator("#toasts")).to_contain_text("is signed out")  # which goes by itself
    expect(other.page.get_by_role("heading", name="This browser is not signed in")).to_be_visible()
    other.was_signed_out()


def test_a_device_is_offered_what_it_may_do_and_no_more(two: Scene, visit: Open) -> None:
    at = visit(two.laptop, options=("--scopes", "view"))
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    expect(at.page.get_by_role("button", name="Spawn")).to_be_hidden()
    at.page.keyboard.press("n")
    expect(at.page.get_by_role("dialog")).to_have_count(0)
    at.page.keyboard.press("2")
    expect(at.page.get_by_role("heading", name="Mesh")).to_be_visible()
    expect(at.page.get_by_role("button", name="Pair a machine")).to_be_hidden()

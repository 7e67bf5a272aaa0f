"""What a page makes hard for some people: none of it, on every view, dark and light, at a desk and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.scene import Scene, fresh, relay_json
from tests.web.axe import violations
from tests.web.browser import DESK, PHONE
from tests.web.conftest import Open

pytestmark = pytest.mark.web


# the pane is asked for anew, and its answer was read
_DRAWN_MEANWHILE = """
async (spawn) => {
  const { update } = await import("/static/detail.js");
  const ask = window.fetch;
  const read = new Promise((go) => {
    window.fetch = async (path, init) => {
      const answer = await ask(path, init);
      if (path === `/api/v1/spawns/${spawn}`) setTimeout(go, 50);
      return answer;
    };
  });
  update();
  await read;
  window.fetch = ask;
}
"""


def test_who_goes_by_keys_stays_where_they_are_when_something_happens(two: Scene, visit: Open) -> None:
    two.grant()
    spawn = two.begin("while :; do sleep 0.1; done", name=fresh("keys"))
    two.until(spawn, "running")
    page = visit(two.laptop).page
    page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    page.get_by_role("tab", name="Timeline").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Timeline", selected=True)).to_be_focused()
    page.locator("#detail").get_by_role("button", name="Stop").focus()
    page.evaluate("document.querySelector('#detail .danger').dataset.was = 'there'")
    page.evaluate("import('/static/detail.js').then(({ update }) => update())")
    expect(page.locator("#detail .danger[data-was]")).to_have_count(0)
    expect(page.locator("#detail").get_by_role("button", name="Stop")).to_be_focused()
    # and what somebody presses just then is pressed
    page.get_by_role("tab", name="Log").hover()
    page.mouse.down()
    page.evaluate(_DRAWN_MEANWHILE, spawn)
    page.mouse.up()
    expect(page.get_by_role("tab", name="Log", selected=True)).to_be_visible()
    two.laptop.relay("stop", spawn)


@pytest.mark.parametrize("view", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_no_view_has_a_violation(two: Scene, visit: Open, view: Any, scheme: str) -> None:
    two.grant("--agent", "shell", "--ask")
    name, bad = fresh("held"), fresh("bad")
    spawn = two.begin("echo x", name=name)
    two.until(spawn, "held")
    relay_json(two.vps, "spawn", bad, "shell", "echo oops >&2; exit 3", "--cwd", str(two.vps.work), "--wait", status=3)
    at = visit(two.vps, view=view, scheme=scheme)
    expect(at.page.get_by_role("article", name=f"{name} needs you")).to_be_visible()
    found = {"agents": violations(at.page)}
    at.page.locator(f"#rows li:has-text('{bad}') a").click()
    expect(at.page.locator("#detail").get_by_role("log")).to_contain_text("oops")
    found["log"] = violations(at.page)
    for tab in ("Result", "Timeline"):
        at.page.get_by_role("tab", name=tab).click()
        found[tab] = violations(at.page)
    at.page.get_by_role("button", name="Back to the list").click()
    for section in ("Mesh", "Queue"):
        at.page.get_by_role("navigation").get_by_role("link", name=section).click()
        expect(at.page.get_by_role("heading", name=section, exact=True)).to_be_visible()
        found[section] = violations(at.page)
    at.page.get_by_role("button", name="Spawn").click()
    expect(at.page.get_by_role("dialog")).to_be_visible()
    found["spawn"] = violations(at.page)
    assert {view: bad for view, bad in found.items() if bad} == {}
    two.vps.relay("deny", spawn)

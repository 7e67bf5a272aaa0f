"""What was cut off, held up, or comes from a clock that differs: the page says so, and shows what is so afterwards."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.scene import Scene, fresh
from tests.web.conftest import Open

pytestmark = pytest.mark.web

# as of a machine that slept: its timers stood still, and its clock went on
_WOKE = """
() => {
  const now = Date.now;
  Date.now = () => now() + 60_000;
  dispatchEvent(new Event("focus"));
  Date.now = now;
}
"""


def test_a_link_that_went_without_a_word_is_noticed_on_waking_and_the_log_goes_on(two: Scene, visit: Open) -> None:
    two.grant()
    gate = two.vps.work / fresh("gate")
    spawn = two.begin(f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo second", name=fresh("cut"))
    two.until(spawn, "running")
    at = visit(two.laptop)
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    expect(at.page.get_by_role("log")).to_contain_text("first")
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    two.laptop.pause()
    at.page.evaluate(_WOKE)
    expect(at.page.locator("#stale")).to_contain_text("What you see may be old")
    two.laptop.resume()
    expect(at.page.locator("#stale")).to_be_hidden(timeout=30_000)
    gate.touch()
    expect(at.page.locator(f"#rows li[data-spawn='{spawn}']")).to_contain_text("Done")
    expect(at.page.get_by_role("log").locator(".line")).to_have_text(["first", "second"])
    at.bears("WebSocket")


_HELD_LIST = """
async () => {
  const { model } = await import("/static/state.js");
  const ask = window.fetch;
  const free = new Promise((go) => { window.free = go; });
  const held = new Promise((go) => { window.hold = go; });
  window.fetch = async (path, init) => {
    const answer = await ask(path, init);
    if (path.startsWith("/api/v1/listing")) {
      window.hold();
      await free;
    }
    return answer;
  };
  window.listed = model.load();
  await held;
}
"""


def test_a_list_that_comes_after_what_changed_meanwhile_makes_nothing_old(two: Scene, visit: Open) -> None:
    two.grant()
    gate = two.vps.work / fresh("gate")
    spawn = two.begin(f"while [ ! -e {gate} ]; do sleep 0.05; done", name=fresh("race"))
    two.until(spawn, "running")
    page = visit(two.laptop).page
    row = page.locator(f"#rows li[data-spawn='{spawn}']")
    expect(row).to_contain_text("Working")
    expect(page.locator("#top .live")).to_contain_text("Live")  # no other list is on its way, and events come
    page.evaluate(_HELD_LIST)
    gate.touch()
    expect(row).to_contain_text("Done")
    two.at_rest()  # no event comes later that would tell it
    expect(page.locator("#top .live")).to_contain_text("Live")
    page.evaluate("window.free()")
    page.evaluate("window.listed")
    expect(row).to_contain_text("Done")


_ONCE = """
const ask = window.fetch;
window.fetch = async (path, init) => {
  if (!path.startsWith("/api/v1/spawns/") || window.isWell) return ask(path, init);
  throw new TypeError("lost on its way");
};
const now = Date.now;
Date.now = () => now() + 7_200_000;
"""


def test_a_pane_that_could_not_be_read_is_read_later_and_ages_go_by_the_brokers_clock(two: Scene, visit: Open) -> None:
    two.grant()
    spawn = str(two.shell("echo hello", name=fresh("deep"), status=0)["id"])
    at = visit(two.laptop)
    at.page.add_init_script(_ONCE)
    at.page.goto(at.page.url.split("#")[0] + f"#/agents?spawn={spawn}")
    at.page.reload()
    pane = at.page.locator("#detail")
    expect(pane).to_contain_text("the broker does not answer")
    # this device's clock is two hours ahead
    expect(at.page.locator(f"#rows li[data-spawn='{spawn}'] time")).not_to_contain_text("h")
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    at.page.evaluate("window.isWell = true")
    two.laptop.pause()
    at.page.evaluate(_WOKE)
    expect(at.page.locator("#stale")).to_contain_text("What you see may be old")
    two.laptop.resume()
    expect(pane.get_by_role("log")).to_contain_text("hello", timeout=40_000)
    at.bears("ERR_", "WebSocket")

"""Several tabs, clicks, devices and machines at once: nothing twice, nothing old, as the address says."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.scene import Scene, fresh
from tests.web.browser import link
from tests.web.conftest import Open

pytestmark = pytest.mark.web

_COUNT = """
() => {
  const ask = window.fetch;
  window.posted = [];
  window.fetch = async (path, init) => {
    if (init?.method === "POST") window.posted.push(path);
    return ask(path, init);
  };
}
"""


def test_what_is_clicked_twice_is_done_once(two: Scene, visit: Open) -> None:
    two.grant()
    spawn = str(two.shell("exit 3", name=fresh("twice"), status=3)["id"])
    at = visit(two.laptop)
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    expect(at.page.locator("#detail").get_by_role("button", name="Retry")).to_be_visible()
    at.page.evaluate(_COUNT)
    at.page.evaluate(
        "[...document.querySelectorAll('#detail button')].filter((e) => e.textContent === 'Retry')"
        ".forEach((e) => { e.click(); e.click(); })"
    )
    expect(at.page.locator("#detail .meta")).to_contain_text("attempt 2")
    assert at.page.evaluate("window.posted") == [f"/api/v1/spawns/{spawn}/retry"]


_LOST = """
async () => {
  const { order } = await import("/static/api.js");
  const ask = window.fetch, told = [];
  let isLost = true;
  window.fetch = async (path, init) => {
    told.push(JSON.parse(init.body).operation);
    if (isLost) throw new TypeError("lost on its way");
    return new Response("{}");
  };
  const body = { verb: "send", text: "go on" };
  await order("answers", body).catch(() => {});
  isLost = false;
  await order("answers", body);
  await order("answers", body);
  window.fetch = ask;
  return told;
}
"""


def test_an_answer_that_was_lost_on_its_way_is_given_again_as_the_same_one(two: Scene, visit: Open) -> None:
    first, again, another = visit(two.laptop).page.evaluate(_LOST)
    assert first == again != another


_LATER = """
async () => {
  const { questionCard } = await import("/static/question.js");
  const { model } = await import("/static/state.js");
  const ask = window.fetch;
  let operation = "";
  window.fetch = async (path, init) => {
    if (path !== "/api/v1/answers") return ask(path, init);
    operation = JSON.parse(init.body).operation;
    return new Response(JSON.stringify({ accepted: null, said: null }));
  };
  const broker = { id: "x", name: "vps" };
  const card = questionCard({ request: "1", kind: "tool", name: "coder", spawn: "1", text: "may it?", broker });
  const said = () => card.node.querySelector(".said").textContent;
  const approve = card.node.querySelector("button");
  approve.click();
  while (!said().includes("has not said")) await new Promise((go) => setTimeout(go, 10));
  const event = { kind: "spawn.answered", answer: operation, accepted: false, said: "laptop has denied it" };
  model.dispatchEvent(new CustomEvent("event", { detail: event }));
  window.fetch = ask;
  return [said(), approve.disabled];
}
"""


def test_a_card_tells_what_its_machine_says_once_it_is_there_again(two: Scene, visit: Open) -> None:
    assert visit(two.laptop).page.evaluate(_LATER) == ["laptop has denied it", False]


def test_the_address_and_what_is_shown_agree(two: Scene, visit: Open) -> None:
    two.grant()
    name = fresh("here")
    spawn = str(two.shell("true", name=name, status=0)["id"])
    page = visit(two.laptop).page
    page.get_by_label("Filter by name").fill("no such thing")
    expect(page.locator("#main .empty")).to_contain_text("fits this filter")
    page.get_by_role("navigation").get_by_role("link", name="Agents").click()
    expect(page.get_by_label("Filter by name")).to_have_value("")
    row = page.locator(f"#rows li:has-text('{name}')")
    expect(row.locator(".where")).to_contain_text("vps")
    expect(page.locator("#brokers option")).to_have_count(3)
    # renamed by another device, and put out while it was chosen
    drawn = page.evaluate(
        "import('/static/state.js').then(({ model }) => {"
        " model.brokers.find((each) => !each.self).name = 'other'; model.changed('all');"
        f" return document.querySelector('#rows li[data-spawn=\"{spawn}\"] .where').textContent; }})"
    )
    assert "other" in drawn
    page.evaluate("location.hash = '#/agents?broker=gone123abcdef'")
    expect(page.locator("#brokers option:checked")).to_have_text("gone123 — no member")
    expect(page.locator("#main .empty")).to_contain_text("Nothing was started on that machine")
    page.evaluate("location.hash = '#/agents?state=Nonsense'")
    page.get_by_role("button", name="Nonsense 0").click()
    expect(row).to_be_visible()
    # who goes by keys and skips what stands above the list stays in the section
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="Mesh", exact=True)).to_be_visible()
    page.get_by_role("link", name="Skip to the list").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(page.get_by_role("heading", name="Mesh", exact=True)).to_be_visible()


def test_tabs_of_one_browser_are_signed_out_and_in_together(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    other = at.page.context.new_page()
    other.goto(at.page.url)
    expect(other.get_by_role("heading", name="Agents")).to_be_visible()
    at.page.evaluate("dispatchEvent(new Event('signed-out'))")
    for each in (at.page, other):
        expect(each.get_by_role("heading", name="This browser is not signed in")).to_be_visible()
    other.goto(link(two.laptop))
    for each in (at.page, other):
        expect(each.locator("#top .live")).to_contain_text("Live")


_MANY = """
async () => {
  const { model } = await import("/static/state.js");
  const one = model.brokers.find((each) => !each.self);
  const more = Array.from({ length: 1000 }, (_, i) => ({ ...one, id: `${i}`.padStart(52, "a"), name: `machine-${i}` }));
  model.brokers = [...model.brokers, ...more];
  model.changed("all");
  // all of it at once: what the page asks for by itself meanwhile would bring the two back
  const watching = new MutationObserver(() => {});
  watching.observe(document.getElementById("main"), { childList: true, subtree: true });
  model.changed("spawns");
  one.outbox += 1;
  model.changed("spawns");
  const drawn = watching.takeRecords().flatMap((each) => [...each.addedNodes].map((node) => node.localName));
  watching.disconnect();
  const isSeen = document.querySelector("svg.picture")?.checkVisibility() ?? false;
  return [document.querySelectorAll("tr[data-broker]").length, isSeen, drawn];
}
"""


def test_of_a_thousand_machines_what_changed_is_drawn_and_no_picture_of_them_all(two: Scene, visit: Open) -> None:
    page = visit(two.laptop).page
    page.keyboard.press("2")
    expect(page.locator("tr[data-broker]")).to_have_count(2)
    listed, is_pictured, drawn = page.evaluate(_MANY)
    assert listed == 1_002
    assert drawn == ["tr"]
    assert not is_pictured


_SEATED = """
async () => {
  const made = [], sent = [];
  const real = window.WebSocket;
  window.WebSocket = class {
    static OPEN = 1;
    readyState = 1;
    // the page around it may follow its events anew just now: that one is not ours
    constructor(url) {
      if (!url.endsWith("/attach")) return new real(url);
      made.push(this);
    }
    send(text) { const told = JSON.parse(text); if (told.k === "in") sent.push(atob(told.data)); }
    close() {}
    hears(told) { this.onmessage({ data: JSON.stringify(told) }); }
  };
  try {
    const { Attached } = await import("/static/attach.js");
    const nothing = () => {};
    const heard = { hello: nothing, out: nothing, seat: nothing, lost: nothing, said: nothing, over: nothing };
    const attached = new Attached("a".repeat(52), { drive: true }, heard);
    const hello = { k: "hello", terminal: true, input: true, state: "running", reason: "" };
    const type = (text) => attached.type(new TextEncoder().encode(text));
    made[0].hears({ ...hello, drives: true, driver: "me" });
    type("one");
    made[0].onclose({ code: 1006 });
    type("two");
    while (made.length < 2) await new Promise((go) => setTimeout(go, 50));
    made[1].hears({ ...hello, drives: false, driver: "x@vps" });
    type("three");
    made[1].hears({ k: "driver", driver: "me", drives: true });
    type("four");
    attached.leave();
  } finally {
    window.WebSocket = real;
  }
  return sent;
}
"""


def test_what_is_typed_while_another_drives_is_not_sent_later(two: Scene, visit: Open) -> None:
    assert visit(two.laptop).page.evaluate(_SEATED) == ["one", "four"]

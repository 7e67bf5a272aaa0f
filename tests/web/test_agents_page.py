"""The page of agents as a person uses it, over two real brokers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.scene import Scene, fresh, relay_json
from tests.web.browser import PHONE, link
from tests.web.conftest import Open

pytestmark = pytest.mark.web


def _spawn(page: Page, two: Scene, task: str, *, name: str) -> None:
    page.keyboard.press("n")
    box = page.get_by_role("dialog")
    box.locator("[name=broker]").select_option(two.vps.id)
    box.locator("[name=agent]").select_option("shell")
    box.locator("[name=task]").fill(task)
    box.locator("[name=where]").select_option("cwd")
    box.locator("[name=path]").fill(str(two.vps.work))
    box.get_by_text("More").click()
    box.locator("[name=name]").fill(name)


def test_spawn_on_the_other_broker_with_its_live_log_and_result(two: Scene, visit: Open) -> None:
    two.grant()
    at = visit(two.laptop)
    name, gate = fresh("web"), two.vps.work / fresh("gate")
    script = f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; printf '\\033[31mred\\033[0m\\n'"
    _spawn(at.page, two, script, name=name)
    expect(at.page.locator("#forecast")).to_contain_text("Starts at once on vps")
    at.picture("spawn-dialog")
    at.page.get_by_role("dialog").get_by_role("button", name="Spawn").click()
    pane = at.page.locator("#detail")
    expect(pane.get_by_role("heading", name=name)).to_be_visible()
    expect(pane.get_by_role("log")).to_contain_text("first")
    row = at.page.locator(f"#rows li:has-text('{name}')")
    expect(row).to_contain_text("Working")
    gate.touch()
    expect(pane.get_by_role("log").locator(".f-red")).to_have_text("red")
    expect(row).to_contain_text("Done")
    at.picture("agents")
    pane.get_by_role("tab", name="Result").click()
    expect(pane.get_by_role("tabpanel")).to_contain_text("Exit code")
    pane.get_by_role("tab", name="Timeline").click()
    expect(pane.get_by_role("tabpanel")).to_contain_text("said vps")
    at.page.keyboard.press("Escape")
    expect(pane).to_be_hidden()


def test_how_busy_a_machine_is_stands_there_before_anything_is_typed(two: Scene, visit: Open) -> None:
    two.grant("--agent", "shell", "--dir", "new", "--dir", str(two.vps.work))
    spawn = two.begin("while :; do sleep 0.1; done", name=fresh("busy"))
    two.until(spawn, "running")
    at = visit(two.laptop)
    at.page.keyboard.press("n")
    box = at.page.get_by_role("dialog")
    expect(box.locator("[name=broker] option", has_text="vps")).to_contain_text("1 working")
    box.locator("[name=broker]").select_option(two.vps.id)
    box.locator("[name=agent]").select_option("shell")
    expect(at.page.locator("#forecast")).to_contain_text("vps has 1 of ")
    expect(at.page.locator("#forecast")).to_contain_text("busy, 0 waiting")
    two.laptop.relay("stop", spawn)


def test_the_selector_scopes_the_list_and_the_url_keeps_it(two: Scene, visit: Open) -> None:
    two.grant()
    here, there = fresh("here"), fresh("there")
    relay_json(two.laptop, "spawn", here, "shell", "true", "--cwd", str(two.laptop.work), "--wait")
    two.shell("true", name=there, status=0)
    at = visit(two.laptop)
    rows = at.page.locator("#rows")
    expect(rows).to_contain_text(here)
    expect(rows).to_contain_text(there)
    at.page.get_by_label("Machines shown").select_option(two.vps.id)
    expect(rows).not_to_contain_text(here)
    expect(rows).to_contain_text(there)
    at.page.reload()
    expect(rows).to_contain_text(there)
    expect(rows).not_to_contain_text(here)
    at.page.keyboard.press("/")
    at.page.keyboard.type("no such thing")
    expect(at.page.locator("#main .empty")).to_contain_text("fits this filter")


def test_what_is_sent_to_a_broker_that_is_away_is_queued_and_runs_when_it_is_back(two: Scene, visit: Open) -> None:
    two.grant()
    two.shell("true", status=0)
    at = visit(two.laptop)
    two.vps.stop()
    expect(at.page.locator("#brokers")).to_contain_text("vps — stopped")
    name = fresh("later")
    _spawn(at.page, two, "echo ran", name=name)
    box = at.page.get_by_role("dialog")
    expect(at.page.locator("#forecast")).to_contain_text("Queue: vps is stopped")
    box.get_by_role("button", name="Queue").click()
    row = at.page.locator(f"#rows li:has-text('{name}')")
    expect(row).to_contain_text("Queued")
    at.picture("queued")
    two.vps.start()
    expect(row).to_contain_text("Done", timeout=20_000)
    expect(at.page.locator("#detail").get_by_role("log")).to_contain_text("ran")


def test_a_broker_that_does_not_trust_this_one_is_said_before_and_not_after(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    _spawn(at.page, two, "true", name=fresh("no"))
    expect(at.page.locator("#forecast.bad")).to_contain_text("relay trust allow laptop")


# what a card says stands for five seconds; who looks gets no turn for longer now and then
_READ = """
(label) => {
  window.read = [];
  const note = () => window.read.push(document.querySelector(`[aria-label="${label}"] .said`)?.textContent || "");
  new MutationObserver(note).observe(document.querySelector(".needs"), { childList: true, subtree: true });
}
"""


def test_a_held_spawn_is_approved_and_stands_there_until_the_word_was_read(two: Scene, visit: Open) -> None:
    two.grant("--agent", "shell", "--ask")
    name = fresh("held")
    spawn = two.begin("echo approved", name=name)
    two.until(spawn, "held")
    at = visit(two.vps)
    card = at.page.get_by_role("article", name=f"{name} needs you")
    expect(card).to_contain_text("echo approved")
    at.picture("needs-you")
    at.page.evaluate(_READ, f"{name} needs you")
    card.get_by_role("button", name="Approve").click()
    two.until(spawn, "completed")
    expect(card).to_be_hidden(timeout=20_000)
    assert "Approved: the agent goes on" in at.page.evaluate("window.read")


def test_a_failure_stands_on_its_row_and_is_resolved(two: Scene, visit: Open) -> None:
    two.grant()
    name = fresh("bad")
    two.shell("echo oops >&2; exit 3", name=name, status=3)
    at = visit(two.laptop)
    expect(at.page.locator(f"#rows li:has-text('{name}')")).to_contain_text("exit code 3")
    at.page.keyboard.press("3")
    failed = at.page.get_by_role("region", name="Failures").locator(f"li:has-text('{name}')")
    expect(failed).to_contain_text("oops")
    at.picture("queue")
    failed.get_by_role("button", name="Mark done").click()
    expect(failed).to_have_count(0)


def test_what_an_agent_changed_is_shown_with_its_colours(two: Scene, visit: Open, tmp_path: Path) -> None:
    two.mesh.grant(on=two.vps, to=two.laptop, words=("--agent", "shell", "--dir", "new"))
    (tmp_path / "poem.txt").write_text("roses\nviolets\n")
    script = "sed -i s/roses/tulips/ poem.txt"
    words = ("spawn", fresh("changer"), "shell", script, "--broker", "vps", "--here", "--wait")
    command = [sys.executable, "-m", "relay", "--json", *words]
    done = subprocess.run(command, cwd=tmp_path, env=two.laptop.environment(), capture_output=True)
    assert done.returncode == 0, done.stderr
    at = visit(two.laptop)
    at.page.locator(f"#rows li:has-text('{words[1]}') a").click()
    at.page.get_by_role("tab", name="Changes").click()
    changed = at.page.get_by_role("group", name="poem.txt")
    expect(changed.locator(".d-add")).to_have_text("+tulips")
    expect(changed.locator(".d-del")).to_have_text("-roses")
    at.picture("changes")


def test_a_link_that_is_lost_says_so_and_comes_back(two: Scene, visit: Open) -> None:
    two.grant()
    at = visit(two.laptop)
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    two.laptop.stop()
    expect(at.page.locator("#stale")).to_contain_text("What you see may be old")
    at.picture("stale")
    at.page.keyboard.press("3")  # which was not fetched yet
    expect(at.page.locator("#toasts")).to_contain_text("Queue: the broker does not answer")
    two.laptop.start()
    two.linked()
    expect(at.page.locator("#stale")).to_be_hidden(timeout=30_000)
    expect(at.page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
    at.page.keyboard.press("1")
    name = fresh("back")
    two.shell("true", name=name, status=0)
    expect(at.page.locator(f"#rows li:has-text('{name}')")).to_contain_text("Done")
    at.bears("ERR_", "WebSocket")


def test_on_a_phone(two: Scene, visit: Open) -> None:
    two.grant()
    name = fresh("phone")
    two.shell("echo hello", name=name, status=0)
    at = visit(two.laptop, view=PHONE, scheme="light")
    at.picture("phone")
    at.page.locator(f"#rows li:has-text('{name}') a").click()
    pane = at.page.locator("#detail")
    expect(pane.get_by_role("log")).to_contain_text("hello")
    width = at.page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], "nothing is wider than the phone"
    at.picture("phone-detail")
    pane.get_by_role("button", name="Back to the list").click()
    expect(pane).to_be_hidden()


def test_what_is_typed_outlives_what_happens_meanwhile(two: Scene, visit: Open) -> None:
    two.grant()
    spawn = two.begin("while :; do sleep 0.1; done", name=fresh("talk"))
    two.until(spawn, "running")
    at = visit(two.laptop)
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    words = at.page.locator("#detail .talk textarea")
    words.fill("not sent yet")
    at.page.get_by_role("tab", name="Timeline").click()
    two.shell("true", name=fresh("other"), status=0)
    expect(words).to_have_value("not sent yet")
    two.laptop.relay("stop", spawn)


_ASKED = """
async () => {
  const { get } = await import("/static/api.js");
  const ask = window.fetch, asked = [];
  window.fetch = (...words) => { asked.push(words[0]); return ask(...words); };
  const { status } = await get("status").catch((error) => error);
  window.fetch = ask;
  return [status, asked];
}
"""


def test_who_is_signed_out_keeps_no_key_and_comes_back_by_a_code(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    newest = max(two.laptop.relay_json("dashboard", "devices", "list"), key=lambda each: str(each["created"]))
    assert at.faults == []
    two.laptop.relay("dashboard", "devices", "revoke", newest["id"])
    expect(at.page.get_by_role("heading", name="This browser is not signed in")).to_be_visible()
    assert at.page.evaluate("localStorage.getItem('relay.token')") is None
    assert at.page.evaluate(_ASKED) == [401, []], "it asks for nothing once it knows"
    at.page.goto(link(two.laptop))
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    at.was_signed_out()


_LATE = """
async () => {
  const { get } = await import("/static/api.js");
  const key = localStorage.getItem("relay.token"), ask = window.fetch;
  const refused = new Response('{"error": {"code": "no_token", "message": "no"}}', { status: 401 });
  window.fetch = async () => { localStorage.setItem("relay.token", key); return refused; };
  localStorage.setItem("relay.token", "an older one");
  const { status } = await get("status").catch((error) => error);
  window.fetch = ask;
  return [status, localStorage.getItem("relay.token") === key];
}
"""


def test_what_an_older_key_was_refused_signs_nobody_out(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    assert at.page.evaluate(_LATE) == [401, True]
    expect(at.page.get_by_role("heading", name="Agents")).to_be_visible()

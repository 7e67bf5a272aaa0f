"""A task's terminal on the page: typed into, looked at by several, over a restart, and without the program for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import FrameLocator, Locator, expect

from relay.api import terminal_package as package
from relay.api.home import Home
from tests.e2e.scene import Scene, fresh, relay_json
from tests.web.axe import violations, violations_in
from tests.web.browser import PHONE
from tests.web.conftest import Open
from tests.web.terminal import fetched, open_terminal, typed

pytestmark = pytest.mark.web

ATTACH = ("--agent", "exec", "--agent", "shell", "--verb", "spawn", "--verb", "attach", "--verb", "send")


@pytest.fixture
def program(two: Scene) -> Iterator[None]:
    fetched(two.laptop)
    yield
    package.remove(Home(two.laptop.home))


def _shell(two: Scene, script: str, name: str) -> str:
    """A task with a terminal on the other broker."""
    two.grant(*ATTACH)
    spawn = two.begin(script, "--tty", name=name)
    two.until(spawn, "running")
    return spawn


def _screen(frame: FrameLocator) -> Locator:
    return frame.locator(".xterm-rows")


def test_what_is_typed_goes_to_the_other_broker_and_its_screen_comes_back(
    two: Scene, visit: Open, program: None
) -> None:
    told = "\\033[32m31 passed\\033[0m, \\033[31m1 failed\\033[0m: tests/test_cart.py::test_total\\n\\nMend it? "
    spawn = _shell(two, f"printf '{told}'; read line; echo \"got $line\"; stty size; cat", fresh("cart"))
    at = visit(two.laptop)
    frame = open_terminal(at, spawn)
    screen = _screen(frame)
    expect(screen).to_contain_text("31 passed, 1 failed")
    expect(at.page.locator(".banner")).to_contain_text("You drive")
    typed(at.page, frame, "yes, by rounding once\n")
    expect(screen).to_contain_text("got yes, by rounding once")
    rows = screen.locator("> div").count()
    expect(screen).to_contain_text(f"{rows} ")  # the task's terminal has the size of the one that is seen
    typed(at.page, frame, "ünï n?3\n")  # and the page's own keys are the task's in there
    expect(screen).to_contain_text("ünï n?3")
    expect(at.page.get_by_role("dialog")).to_have_count(0)
    at.picture("terminal")
    inside = next(each for each in at.page.frames if each.url.endswith("/terminal"))
    assert violations(at.page) + violations_in(inside) == []
    at.page.set_viewport_size({"width": 900, "height": 600})
    frame.locator("textarea").focus()
    at.page.keyboard.press("Control+]")
    expect(at.page.locator(".banner")).to_contain_text("goes on")
    assert two.show(spawn)["state"] == "running"
    two.laptop.relay("stop", spawn)


def test_one_drives_and_others_look_until_they_take_over(two: Scene, visit: Open, program: None) -> None:
    spawn = _shell(two, "echo ready; cat", fresh("tty"))
    one, other = visit(two.laptop), visit(two.laptop)
    first = open_terminal(one, spawn)
    expect(_screen(first)).to_contain_text("ready")
    second = open_terminal(other, spawn)
    expect(one.page.locator(".banner")).to_contain_text("drives now")
    typed(other.page, second, "from the second\n")
    expect(_screen(first)).to_contain_text("from the second")
    typed(one.page, first, "nobody hears\n", drives=False)
    other.page.get_by_role("button", name="Only look").click()
    expect(other.page.locator(".banner")).to_contain_text("to look at")
    expect(one.page.locator(".banner")).to_contain_text("You drive")
    typed(one.page, first, "from the first\n")
    expect(_screen(second)).to_contain_text("from the first")
    expect(_screen(second)).not_to_contain_text("nobody hears")
    two.laptop.relay("stop", spawn)
    expect(one.page.locator(".banner")).to_contain_text("It has ended")


def test_it_goes_on_after_a_restart_of_the_broker_and_types_nothing_twice(
    two: Scene, visit: Open, program: None
) -> None:
    spawn = _shell(two, "echo ready; cat", fresh("tty"))
    at = visit(two.laptop)
    frame = open_terminal(at, spawn)
    expect(_screen(frame)).to_contain_text("ready")  # what is typed before it is attached goes nowhere
    typed(at.page, frame, "before\n")
    expect(_screen(frame)).to_contain_text(re.compile("before.*before", re.S))  # its echo, and cat's word
    two.laptop.stop()
    expect(at.page.locator(".banner")).to_contain_text("broke off")
    expect(at.page.locator("#top .live")).to_contain_text("Not connected")  # which it may hear of later
    typed(at.page, frame, "nothing of this", drives=False)
    two.laptop.start()
    two.linked()
    # once the page is linked again it attaches anew, though it may have done so before: what is typed then goes nowhere
    expect(at.page.locator("#top .live")).to_contain_text("Live")
    expect(at.page.locator(".banner")).to_contain_text("You drive")
    typed(at.page, frame, "after\n")
    expect(_screen(frame)).to_contain_text("after")
    text = " ".join(_screen(frame).inner_text().split())
    assert text.count("ready") == 1 and text.count("before") == 2, text
    two.laptop.relay("stop", spawn)
    at.bears("ERR_", "WebSocket")


def test_of_a_spawn_that_only_the_other_broker_knows(two: Scene, visit: Open, program: None) -> None:
    two.grant(*ATTACH, "--verb", "view")
    words = ("--cwd", str(two.vps.work), "--tty", "--timeout", "90s", "echo theirs; cat")
    spawn = str(relay_json(two.vps, "spawn", fresh("theirs"), "shell", *words)["id"])
    two.until(spawn, "running", on=two.vps)
    at = visit(two.laptop)
    at.page.goto(at.page.url.split("#")[0] + f"#/agents?spawn={spawn}")
    at.page.get_by_role("tab", name="Terminal").click()
    frame = at.page.frame_locator("iframe.term")
    expect(_screen(frame)).to_contain_text("theirs")
    expect(at.page.locator(".banner")).to_contain_text("You drive")
    typed(at.page, frame, "mine\n")
    expect(_screen(frame)).to_contain_text("mine")
    two.vps.relay("stop", spawn)


def test_a_task_without_a_terminal_has_its_log_and_takes_lines(two: Scene, visit: Open, program: None) -> None:
    two.grant(*ATTACH)
    spawn = two.begin("echo ready; read line; echo \"got $line\"; sleep 60", "--stdin", name=fresh("lines"))
    two.until(spawn, "running")
    at = visit(two.laptop)
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    at.page.get_by_role("tab", name="Terminal").click()
    expect(at.page.locator(".banner")).to_contain_text("It has no terminal")
    at.page.get_by_placeholder("A line for its input").fill("a line")
    at.page.keyboard.press("Enter")
    expect(at.page.get_by_role("log").last).to_contain_text("got a line")
    at.picture("terminal-lines")
    assert violations(at.page) == []
    two.laptop.relay("stop", spawn)


def test_a_task_that_takes_no_input_is_sent_the_line_and_its_word_is_told(two: Scene, visit: Open) -> None:
    two.grant(*ATTACH)
    spawn = two.begin("echo ready; sleep 60", name=fresh("sent"))
    two.until(spawn, "running")
    at = visit(two.laptop)
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    at.page.get_by_role("tab", name="Terminal").click()
    expect(at.page.locator(".banner")).to_contain_text("each line you type is sent to it (relay send)")
    at.page.get_by_placeholder("A line to send").fill("hello")
    at.page.keyboard.press("Enter")
    expect(at.page.locator(".banner.bad")).to_contain_text("input")
    expect(at.page.get_by_placeholder("A line to send")).to_have_value("hello")  # nothing of it is lost
    two.laptop.relay("stop", spawn)
    at.bears("503")  # the refusal, as the browser tells it


def test_without_the_program_it_is_the_log_and_says_how_to_get_it(two: Scene, visit: Open) -> None:
    spawn = _shell(two, "echo ready; cat", fresh("tty"))
    at = visit(two.laptop)
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    at.page.get_by_role("tab", name="Terminal").click()
    expect(at.page.locator(".termbox")).to_contain_text(f"relay attach {spawn}")
    expect(at.page.locator(".termbox")).to_contain_text("relay dashboard terminal install")
    expect(at.page.locator(".termbox").get_by_role("log")).to_contain_text("ready")
    assert not [path for path in at.loaded if "xterm" in path or path == "terminal"]
    two.laptop.relay("stop", spawn)


def test_a_device_without_the_scope_is_offered_none(two: Scene, visit: Open, program: None) -> None:
    spawn = _shell(two, "cat", fresh("tty"))
    at = visit(two.laptop, options=("--scopes", "view,spawn,approve"))
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    expect(at.page.get_by_role("tab", name="Log")).to_be_visible()
    expect(at.page.get_by_role("tab", name="Terminal")).to_have_count(0)
    two.laptop.relay("stop", spawn)


def test_who_is_signed_out_has_no_terminal_any_more(two: Scene, visit: Open, program: None) -> None:
    spawn = _shell(two, "echo ready; cat", fresh("tty"))
    at = visit(two.laptop)
    expect(_screen(open_terminal(at, spawn))).to_contain_text("ready")
    newest = max(two.laptop.relay_json("dashboard", "devices", "list"), key=lambda each: str(each["created"]))
    two.laptop.relay("dashboard", "devices", "revoke", newest["id"])
    expect(at.page.get_by_role("heading", name="This browser is not signed in")).to_be_visible()
    expect(at.page.locator("iframe")).to_have_count(0)
    assert two.show(spawn)["state"] == "running"
    two.laptop.relay("stop", spawn)
    at.was_signed_out()


_FRAME = """
async () => {
  const told = { origin: self.origin };
  try { localStorage.length; told.storage = true; } catch { told.storage = false; }
  try { parent.document.title; told.page = true; } catch { told.page = false; }
  try { await fetch(new URL("/api/v1/status", location.href)); told.net = true; } catch { told.net = false; }
  try { document.body.innerHTML = "<b></b>"; told.markup = true; } catch { told.markup = false; }
  return told;
}
"""


def test_the_frame_has_no_origin_no_storage_no_token_and_no_network(two: Scene, visit: Open, program: None) -> None:
    spawn = _shell(two, "echo ready; cat", fresh("tty"))
    at = visit(two.laptop)
    frame = open_terminal(at, spawn)
    expect(_screen(frame)).to_contain_text("ready")
    inside = next(each for each in at.page.frames if each.url.endswith("/terminal"))
    told = inside.evaluate(_FRAME)
    assert told == {"origin": "null", "storage": False, "page": False, "net": False, "markup": False}
    # what others say to the page is not typed
    at.page.evaluate("window.postMessage({ k: 'in', data: new TextEncoder().encode('forged\\n') }, '*')")
    typed(at.page, frame, "true\n")
    expect(_screen(frame)).to_contain_text("true")
    expect(_screen(frame)).not_to_contain_text("forged")
    two.laptop.relay("stop", spawn)
    at.faults.clear()  # what it tried


def test_a_phones_keys_are_those_that_the_program_awaits_and_leave_its_keyboard_open(
    two: Scene, visit: Open, program: None
) -> None:
    spawn = _shell(two, "printf '\\033[?1hready'; cat > /dev/null", fresh("tty"))  # as less, htop and vim ask for
    at = visit(two.laptop, view=PHONE)
    frame = open_terminal(at, spawn)
    expect(_screen(frame)).to_contain_text("ready")
    expect(at.page.get_by_role("group", name="Keys")).to_be_visible()
    frame.locator("textarea").focus()
    at.page.get_by_role("button", name="Up", exact=True).click()
    expect(_screen(frame)).to_contain_text("^[OA")
    assert at.page.evaluate("document.activeElement.tagName") == "IFRAME"
    at.page.get_by_role("button", name="Esc").click()
    expect(_screen(frame)).to_contain_text("^[OA^[")
    at.page.get_by_role("button", name="Home").click()
    expect(_screen(frame)).to_contain_text("^[OA^[^[OH")
    frame.locator("textarea").focus()
    at.page.get_by_role("button", name="Ctrl, with the next letter").click()
    at.page.keyboard.type("b!")
    expect(_screen(frame)).to_contain_text("^[OA^[^[OH^B!")
    two.laptop.relay("stop", spawn)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_on_a_phone(two: Scene, visit: Open, program: None, scheme: str) -> None:
    spawn = _shell(two, "printf 'line\\n%.0s' $(seq 60); cat", fresh("tty"))
    at = visit(two.laptop, view=PHONE, scheme=scheme)
    frame = open_terminal(at, spawn)
    expect(_screen(frame)).to_contain_text("line")
    expect(at.page.locator(".banner")).to_contain_text("You drive")
    assert at.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = at.page.locator("iframe.term").bounding_box()
    assert box is not None and box["height"] > PHONE["height"] / 3, box
    expect(at.page.get_by_role("group", name="Keys")).to_be_visible()
    at.picture(f"terminal-phone-{scheme}")
    inside = next(each for each in at.page.frames if each.url.endswith("/terminal"))
    assert violations(at.page) + violations_in(inside) == []
    at.page.get_by_role("button", name="Ctrl-C").click()
    expect(at.page.locator(".banner")).to_contain_text("It has ended")

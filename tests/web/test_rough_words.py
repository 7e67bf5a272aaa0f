"""What tasks write and agents ask that no page was drawn for: it hangs nothing, hides nothing, and is lost nowhere."""

from __future__ import annotations

import sys

import pytest
from playwright.sync_api import Page, expect

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh
from tests.web.conftest import Open

pytestmark = pytest.mark.web

_PIECES = """
async (pieces) => {
  const { Ansi } = await import("/static/ansi.js");
  const ansi = new Ansi(), began = performance.now();
  const text = pieces.flatMap((each) => ansi.read(each)).map(([text]) => text).join("");
  return [text, performance.now() - began];
}
"""


def test_a_long_line_does_not_hang_the_page(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    for line in ("x" * 131_072, "\x1b]" * 65_536, "\x1b[1;" * 32_768, "\r" * 131_072):
        # the quickest of three: a machine that is held up is so now and then, a page that hangs does each time
        took = min(at.page.evaluate(_PIECES, [line])[1] for _ in range(3))
        assert took < 2_000, (line[:4], took)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["line\r", "\nnext\n"], "line\r\nnext\n"),
        (["a\x1b]8;;http://x", "yz\x1b", "\\link\x1b]8;;\x07"], "alink"),
        (["a\x1b]0;ti", "tle\x07b"], "ab"),
        (["\x1b[3", "1mred\x1b(B\x1b[>4;1mx"], "redx"),
    ],
)
def test_what_is_cut_between_two_pieces_is_read_as_one(
    two: Scene, visit: Open, pieces: list[str], text: str
) -> None:
    assert visit(two.laptop).page.evaluate(_PIECES, pieces)[0] == text


def test_a_line_that_is_drawn_again_stands_once_and_one_without_end_is_broken(two: Scene, visit: Open) -> None:
    name = fresh("bar")
    script = (
        "import sys, time\n"
        "for n in range(3): sys.stdout.write(f'{n}0%\\r'); sys.stdout.flush(); time.sleep(0.1)\n"
        "print('\\nkept\\r'); print('y' * 50_000)"
    )
    two.laptop.relay("spawn", name, "exec", "--cwd", str(two.laptop.work), "--wait", "--", sys.executable, "-c", script)
    at = visit(two.laptop)
    at.page.locator(f"#rows li:has-text('{name}') a").click()
    lines = at.page.get_by_role("log").locator(".line")
    expect(lines.nth(0)).to_have_text("20%")
    expect(lines.nth(1)).to_have_text("kept")

    def lengths() -> list[int]:
        found: list[int] = lines.evaluate_all("found => found.map((each) => each.textContent.length)")
        return found

    wait_until(lambda: sum(lengths()[2:]) >= 50_000, 20, "all of it to be drawn")
    assert sum(lengths()[2:]) == 50_000 and max(lengths()) <= 20_000


# the answer itself is lost, in the page: what its worker has a hand in goes by the browser's own interception at times
_LOSE = """
() => {
  const ask = window.fetch, isOrder = (path, init) => path === "/api/v1/spawns" && init.method === "POST";
  const judged = new Promise((go) => { window.judge = go; });
  window.lost = [];
  window.trials = { held: 0, told: 0 };
  window.fetch = async (path, init) => {
    const answer = await ask(path, init);
    if (isOrder(path, init) && !window.lost.length) {
      window.lost.push(answer.status);
      throw new TypeError("lost on its way");
    }
    if (path === "/api/v1/trials" && !window.lost.length) {
      window.trials.held += 1;
      await judged;
      setTimeout(() => { window.trials.told += 1; });
    }
    return answer;
  };
}
"""


def _until(page: Page, words: str) -> None:
    # not by the driver's own waiting, which makes a script of a text again and again: the page's policy forbids that
    wait_until(lambda: bool(page.evaluate(words)), 20, words)


def test_an_order_whose_answer_was_lost_is_sent_again_as_the_same_one(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    name = fresh("once")
    at.page.evaluate(_LOSE)
    at.page.keyboard.press("n")
    box = at.page.get_by_role("dialog")
    box.locator("[name=broker]").select_option(two.laptop.id)
    box.locator("[name=agent]").select_option("shell")
    box.locator("[name=task]").fill("true")
    box.locator("[name=where]").select_option("new")
    box.get_by_text("More").click()
    box.locator("[name=name]").fill(name)
    _until(at.page, "window.trials.held")
    box.get_by_role("button", name="Spawn").click()
    expect(box.locator("#forecast")).to_contain_text("does not answer")
    # a forecast that was asked for before and comes now is none of what became of the order
    at.page.evaluate("window.judge()")
    _until(at.page, "window.trials.told === window.trials.held")
    expect(box.locator("#forecast")).to_contain_text("does not answer")
    box.get_by_role("button", name="Spawn").click()
    expect(box).to_be_hidden()
    assert at.page.evaluate("window.lost") == [201]
    names = [each["name"] for each in two.laptop.relay_json("ps", "--all")]
    assert [each for each in names if each.startswith(name)] == [name]


_DRAWN = """
async ([piece, times]) => {
  const { logView } = await import("/static/log.js");
  const ask = window.fetch, line = JSON.stringify({ stream: "out", data: piece }) + "\\n";
  window.fetch = async () => new Response(line.repeat(times));
  const began = performance.now();
  const view = await new Promise((go) => {
    const made = logView({ id: "x", name: "x" }, () => { setTimeout(() => go(made)); return true; });
    document.body.append(made.node);
  });
  window.fetch = ask;
  const drawn = view.node.querySelectorAll("*").length;
  view.close();
  view.node.remove();
  return [drawn, performance.now() - began];
}
"""


def test_a_flood_of_colours_or_of_lines_is_drawn_within_bounds(two: Scene, visit: Open) -> None:
    page = visit(two.laptop).page
    for piece in ("\x1b[31ma\x1b[32mb" * 6_000, "\n" * 60_000):
        drawn, took = page.evaluate(_DRAWN, [piece, 10])
        print(f"{drawn} elements after {took:.0f} ms")
        assert drawn < 100_000, drawn


_CARD = """
async (input) => {
  const { questionCard } = await import("/static/question.js");
  const broker = { id: "x", name: "vps" };
  const asked = { request: "1", kind: "tool", name: "coder", spawn: "1", text: "may it?", broker, input };
  return questionCard(asked).node.querySelector("pre").textContent;
}
"""


def test_a_card_shows_all_that_is_asked_and_nothing_turned_round(two: Scene, visit: Open) -> None:
    page = visit(two.laptop).page
    assert page.evaluate(_CARD, {"command": "ls"}) == "ls"
    told = page.evaluate(_CARD, {"command": "ls", "sandbox": False})
    assert '"sandbox": false' in told and '"command": "ls"' in told
    assert page.evaluate(_CARD, {"command": "a\u202eb\u200bc\x1bd"}) == "a\\u{202e}b\\u{200b}c\\u{1b}d"


def test_what_is_unseen_in_a_task_is_seen_wherever_it_is_drawn(two: Scene, visit: Open) -> None:
    name = fresh("turned")
    task = "exit 3 # \u202eevil\u202c \u200bx\u0007"
    two.laptop.relay("spawn", name, "shell", "--cwd", str(two.laptop.work), "--wait", task, check=False)
    page = visit(two.laptop).page
    row = page.locator(f"#rows li:has-text('{name}')")
    expect(row.locator(".task")).to_contain_text("\\u{202e}evil\\u{202c} \\u{200b}x")
    row.locator("a").click()
    expect(page.locator("#detail .task")).to_contain_text("\\u{202e}evil")
    drawn = page.evaluate("document.body.innerText")
    assert not set(drawn) & set("\u202e\u202c\u200b\u0007")


_HOLD = """
const ask = window.fetch;
const known = new Promise((go) => { window.tell = go; });
window.fetch = async (path, init) => {
  if (path === "/api/v1/brokers") await known;
  return ask(path, init);
};
"""


def test_the_spawn_dialog_asked_for_before_the_machines_are_known_opens_once_they_are(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    at.page.add_init_script(_HOLD)
    at.page.reload()
    expect(at.page.get_by_role("heading", name="Agents")).to_be_visible()
    at.page.keyboard.press("n")
    expect(at.page.get_by_role("dialog")).to_have_count(0)
    at.page.evaluate("window.tell()")
    expect(at.page.get_by_role("dialog").locator("[name=broker]")).to_have_value(two.laptop.id)


_ASKED = """
async (n) => {
  const { model } = await import("/static/state.js");
  const broker = { id: model.own.id, name: "laptop" };
  const asked = { kind: "question", text: "which?", broker };
  const one = (i) => ({ ...asked, request: `r${i}`, name: `coder-${i}`, spawn: `s${i}` });
  const questions = [...Array(n).keys()].reverse().map(one);
  // what the page asks for by itself meanwhile would take them away
  Object.defineProperty(model, "questions", { configurable: true, get: () => questions, set() {} });
  model.changed("spawns");
}
"""


def test_who_answers_one_question_goes_on_typing_when_another_comes(two: Scene, visit: Open) -> None:
    page = visit(two.laptop).page
    expect(page.locator("#top .live")).to_contain_text("Live")
    page.evaluate(_ASKED, 1)
    page.get_by_label("Answer coder-0").focus()
    page.keyboard.type("the seco")
    page.evaluate(_ASKED, 2)
    expect(page.get_by_label("Answer coder-1")).to_be_visible()
    page.keyboard.type("nd")
    expect(page.get_by_label("Answer coder-0")).to_have_value("the second")


_ONCE = """
const ask = window.fetch;
window.fetch = async (path, init) => {
  if (path !== "/api/v1/queue" || window.isWell) return ask(path, init);
  return new Response('{"error": {"code": "busy", "message": "too much at once"}}', { status: 503 });
};
"""


def test_what_went_wrong_once_does_not_stay_in_the_queue(two: Scene, visit: Open) -> None:
    at = visit(two.laptop)
    at.page.evaluate(f"() => {{ {_ONCE} window.isWell = true; }}")
    at.page.keyboard.press("3")
    queue = at.page.get_by_role("region", name="Unfinished")
    expect(queue).to_contain_text("Nothing is queued")
    at.page.evaluate("window.isWell = false")
    expect(queue).to_contain_text("too much at once")
    at.page.evaluate("window.isWell = true")
    expect(queue).to_contain_text("Nothing is queued")


def test_a_device_that_may_not_look_is_told_so(two: Scene, visit: Open) -> None:
    at = visit(two.laptop, options=("--scopes", "spawn"))
    expect(at.page.locator("#stale")).to_contain_text("relay dashboard --scopes view")
    expect(at.page.locator("#top .live")).to_contain_text("Not connected")
    at.bears("403")

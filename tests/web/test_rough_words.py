"""What tasks write and agents ask that no page was drawn for: it hangs nothing, hides nothing, and is lost nowhere."""

from __future__ import annotations

import sys

import pytest
from playwright.sync_api import expect

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
        _, took = at.page.evaluate(_PIECES, [line])
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
    lengths = lines.evaluate_all("found => found.map((each) => each.textContent.length)")
    assert sum(lengths[2:]) == 50_000 and max(lengths) <= 20_000

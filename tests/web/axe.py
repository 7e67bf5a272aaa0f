"""What a page makes hard for some people, found by axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.web.browser import axe_folder

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page


def keys_of(folder: Path) -> str:
    """The program that finds what a page makes hard for some people."""
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """What a page makes hard for some people, by axe-core."""
    # a world of its own: the page's policy lets no script in that is not the page's
    session = page.context.new_cdp_session(page)
    frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
    world = session.send("Page.createIsolatedWorld", {"frameId": frame})["executionContextId"]
    session.send("Runtime.evaluate", {"expression": keys_of(axe_folder()), "contextId": world})
    call = {"expression": "axe.run(document)", "contextId": world, "awaitPromise": True, "returnByValue": True}
    told: dict[str, Any] = session.send("Runtime.evaluate", call)["result"]["value"]
    session.detach()
    return _said(told)


def violations_in(frame: Frame) -> list[str]:
    """The same of a frame."""
    frame.evaluate(keys_of(axe_folder()))
    # a frame is no page: that it has no heading, and no landmark but one, is as it should be
    only = "{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }"
    told: dict[str, Any] = frame.evaluate(f"axe.run(document, {only})")
    return _said(told)


def _said(told: dict[str, Any]) -> list[str]:
    assert told["passes"], "it has looked"
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in told["violations"]
        for node in each["nodes"]
    ]

"""A task's terminal on the page: the program that draws it, as it would have been fetched, and what it shows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from relay.api.home import Home
from relay.api.terminal_package import XTERM
from relay.testing.node import Node
from tests.web.browser import Visit, axe_folder

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page


def fetched(node: Node) -> None:
    """Have what `relay dashboard terminal install` keeps; the broker checks it like that."""
    folder = Path(Home(node.home).terminal)
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in XTERM.files:
        shutil.copy(axe_folder() / "node_modules" / XTERM.name / name, folder / Path(name).name)


def open_terminal(at: Visit, spawn: str) -> FrameLocator:
    """Open a spawn's pane and its terminal; the frame."""
    at.page.locator(f"#rows li[data-spawn='{spawn}'] a").click()
    at.page.get_by_role("tab", name="Terminal").click()
    return at.page.frame_locator("iframe.term")


def typed(page: Page, frame: FrameLocator, text: str, *, drives: bool = True) -> None:
    """Type into a terminal, once it takes what is typed: before that it goes nowhere, as where another drives."""
    keys = frame.locator("textarea")
    if drives:
        expect(keys).to_be_editable()
    keys.focus()
    page.keyboard.type(text)

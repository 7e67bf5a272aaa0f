"""Debian's Chromium, driven by Playwright, and a person in front of the page."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Response, ViewportSize, sync_playwright

from relay.testing.node import Node

CHROMIUM = "chromium"
# as root there is no sandbox; the rest keeps it from looking for hosts that nobody asked for
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESK: ViewportSize = {"width": 1440, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
PICTURES = Path(__file__).parents[2] / "build" / "web"
WITHIN_MS = 20_000
STANDS = re.compile("Live|Not connected")
REFUSED = "error: Failed to load resource: the server responded with a status of 401 (Unauthorized)"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, until the block ends."""
    found = shutil.which(CHROMIUM)
    if found is None:
        raise RuntimeError("chromium is not installed; try: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


def link(node: Node, *options: str) -> str:
    """What `relay dashboard` prints for a person to open."""
    found: str = node.relay_json("dashboard", "--no-open", *options)["url"]
    return found


@dataclass
class Visit:
    """A page that is open.

    Attributes:
        page: it.
        faults: what the browser had to say against it: errors, what the content policy refused, failed requests.
        loaded: the bytes of each file that was fetched, uncompressed, by path.
        borne: words of what it may say, as its test gives it reason to.
    """

    page: Page
    faults: list[str] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)
    borne: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Note all that the browser says."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _response(self, response: Response) -> None:
        path = response.url.split("/", 3)[3].split("?")[0]
        if not path.startswith("api/"):
            with contextlib.suppress(Error):
                self.loaded[path] = len(response.body())

    def settled(self) -> None:
        """Wait until all is loaded, and it hears of what happens or knows that it may not.

        What a test puts in the place of the browser's own is not asked by the page's beginning then.
        """
        self.page.locator("#top .live").filter(has_text=STANDS).wait_for(state="attached")  # a phone has no room

    def bears(self, *words: str) -> None:
        """Faults with these words are none, also those that the browser tells of later."""
        self.borne += words

    def was_signed_out(self) -> None:
        """What it asked for before it knew was refused, and the browser says so."""
        self.bears(REFUSED)

    def complaints(self) -> list[str]:
        """Its faults but for those that are none."""
        return [fault for fault in self.faults if not any(words in fault for words in self.borne)]

    def picture(self, name: str) -> None:
        """Keep how it looks, in build/web."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")


def axe_folder() -> Path:
    """Where `make test-web` has put it.

    Raises:
        RuntimeError: it was not told.
    """
    told = os.environ.get("WEB")
    if not told:
        raise RuntimeError("where is axe-core? try: make test-web")
    return Path(told)

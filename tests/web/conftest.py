"""One browser and one pair of brokers a worker, healed before each test; each test has a profile of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from relay.testing.mesh import Mesh, free_port
from relay.testing.node import Node
from tests.e2e.scene import Scene
from tests.web.browser import DESK, WITHIN_MS, Visit, chromium, link

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

Open = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WITHIN_MS)
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def _web_pair() -> Iterator[Scene]:
    with Mesh.scratch("relay-web-") as mesh:
        laptop = mesh.add("laptop", started=False)
        # a page knows its broker by the port: the usual one goes from worker to worker, whoever restarts first
        laptop.configure(f"dashboard = {{ port = {free_port()} }}")
        laptop.start()
        yield Scene(mesh, laptop, mesh.join(laptop, "vps"))


@pytest.fixture
def two(_web_pair: Scene) -> Iterator[Scene]:
    """`laptop` and `vps`, linked, without grants."""
    _web_pair.heal()
    yield _web_pair
    for node in _web_pair.mesh.nodes.values():
        log = node.log()
        assert "Traceback" not in log, log[-6000:]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens a broker's page, signed in, in a profile of its own. The page must have nothing to complain of."""
    opened: list[Visit] = []

    def go(node: Node, *, view: ViewportSize = DESK, scheme: str = "dark", options: tuple[str, ...] = ()) -> Visit:
        looks: Any = {"color_scheme": scheme, "reduced_motion": "reduce"}
        context = browser.new_context(viewport=view, **looks)
        context.set_default_timeout(WITHIN_MS)
        made = Visit(context.new_page())
        made.listen()
        opened.append(made)
        made.page.goto(link(node, *options))
        made.page.get_by_role("heading", name="Agents").wait_for()
        made.settled()
        return made

    yield go
    for each in opened:
        each.page.context.close()
    assert [fault for each in opened for fault in each.complaints()] == []

"""`relay dashboard` and what stands below it, as typed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.api import neighbours
from relay.dashboard.sockets import MOST_UNKNOWN_OF_OTHERS
from relay.testing.control import ControlError
from relay.testing.node import Node
from tests.dashboard.browser import Browser
from tests.dashboard.raw import raw, upgrade
from tests.e2e.scene import Done, relay

STATUS = {"BackendState": "Running", "Self": {"DNSName": "Laptop.tail1.ts.net."}}
NAME = "laptop.tail1.ts.net"
NEIGHBOURS = Path(neighbours.TABLE)


def _json(node: Node, *words: str, path: str = os.environ["PATH"]) -> dict[str, object]:
    done = relay(node, *words, "--json", PATH=path)
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def _error(done: Done) -> str:
    return str(json.loads(done.stdout)["error"]["code"])


@contextlib.contextmanager
def _as_user(user: int) -> Iterator[None]:
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def tailscale(browser: Browser, tmp_path: Path) -> str:
    """A PATH with a `tailscale` that writes down what it is asked, and refuses once `refuses` is there."""
    script = f"""#!/bin/sh
    echo "$@" >> {tmp_path}/asked
    test ! -e {tmp_path}/refuses || {{ echo "Access denied: serve config denied" >&2; exit 1; }}
    test "$1" != status || echo '{json.dumps(STATUS)}'
    """
    (tmp_path / "tailscale").write_text(script)
    (tmp_path / "tailscale").chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def test_the_link_lets_a_browser_in(browser: Browser) -> None:
    done = relay(browser.node, "dashboard", "--no-open", "--scopes", "view,approve")
    address, _, code = done.stdout.decode().strip().partition("/#code=")
    assert (done.returncode, address) == (0, browser.origin)
    made = Browser(browser.node, browser.port).ask("POST", "/session", {"code": code, "device": "typed"})
    assert made.document["device"]["scopes"] == ["view", "approve"]
    listed = relay(browser.node, "dashboard", "devices").stdout.decode()
    assert "typed" in listed and made.document["device"]["fingerprint"] in listed
    gone = _json(browser.node, "dashboard", "devices", "revoke", "typed")
    assert gone["id"] == made.document["device"]["id"]
    assert "typed" not in relay(browser.node, "dashboard", "devices", "list").stdout.decode()


@pytest.mark.skipif(os.geteuid() != 0 or not NEIGHBOURS.exists(), reason="needs root, and a table of who connects")
def test_a_code_in_a_browser_s_command_line_is_its_own_user_s_alone(browser: Browser, tmp_path: Path) -> None:
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    opener.chmod(0o755)
    done = relay(browser.node, "dashboard", DISPLAY=":0", BROWSER=f"{opener} %s", SSH_CONNECTION="")
    assert b"your browser opens it" in done.stderr, done
    code = (tmp_path / "opened").read_text().strip().partition("#code=")[2]
    comer = Browser(browser.node, browser.port)
    ways = ["127.0.0.1"] + ["::ffff:127.0.0.1"] * Path(f"{NEIGHBOURS}6").exists()  # the same, from a socket of IPv6
    for at in range(6):  # nor does it count, or the code of its own user were not looked at for a minute
        comer.address = ways[at % len(ways)]
        with _as_user(12345):
            refused = comer.ask("POST", "/session", {"code": code})
        assert (refused.status, refused.code) == (401, "code_refused")
    assert comer.ask("POST", "/session", {"code": code}).status == 201


@pytest.mark.skipif(os.geteuid() != 0 or not NEIGHBOURS.exists(), reason="needs root, and a table of who connects")
async def test_another_user_of_the_machine_takes_its_own_no_place(browser: Browser) -> None:
    with contextlib.ExitStack() as stack, _as_user(12345):
        for _ in range(3 * MOST_UNKNOWN_OF_OTHERS):  # sockets that say nothing
            made = stack.enter_context(raw(browser))
            assert made.say(upgrade(browser)) and b" 101 " in made.hear()
        for _ in range(300):  # and more connections than are answered
            stack.enter_context(raw(browser))
        os.seteuid(0)
        assert browser.ask("GET", "/api/v1/status").status == 200
        async with browser.events() as events:
            assert (await events.next())["kind"] == "hello"


@pytest.mark.parametrize("words", ["--scopes all", "--scopes ,", "devices revoke", "devices remove", "devices list x"])
def test_words_that_mean_nothing_are_told_so(browser: Browser, words: str) -> None:
    done = relay(browser.node, "dashboard", *words.split(), "--json")
    assert (done.returncode, _error(done)) == (2, "usage")


def test_a_phone_is_paired_once_the_page_is_published(browser: Browser, tailscale: str, tmp_path: Path) -> None:
    refused = relay(browser.node, "dashboard", "pair", "--json")
    assert (refused.returncode, _error(refused)) == (1, "no_address")
    assert _json(browser.node, "dashboard", "publish", path=tailscale)["published"] == f"https://{NAME}"
    assert (tmp_path / "asked").read_text().splitlines() == [f"serve --bg {browser.port}", "status --json"]
    link = _json(browser.node, "dashboard", "pair")
    assert link["scopes"] == ["view", "approve", "spawn"]
    page = browser.ask("GET", "/", Host=NAME)
    assert page.status == 200
    assert f"connect-src 'self' wss://{NAME};" in page.headers["content-security-policy"]
    assert NAME.encode() not in browser.ask("GET", "/", Host="evil.example").data
    sent = {"Host": NAME, "Origin": f"https://{NAME}"}
    made = browser.ask("POST", "/session", {"code": link["code"], "device": "phone"}, **sent)
    assert made.status == 201
    assert browser.ask("POST", "/session", {"code": ""}, Host=NAME).code == "foreign_origin"
    _json(browser.node, "dashboard", "publish", "--off", path=tailscale)
    assert (tmp_path / "asked").read_text().splitlines()[-1] == "serve --https=443 off"
    assert browser.ask("GET", "/", Host=NAME).code == "foreign_host"


def test_where_tailscale_refuses_its_own_words_are_told(browser: Browser, tailscale: str, tmp_path: Path) -> None:
    (tmp_path / "refuses").touch()
    done = relay(browser.node, "dashboard", "publish", PATH=tailscale)
    assert done.returncode == 1
    assert "Access denied" in done.stderr.decode()
    assert browser.get("dashboard")["published"] is None


def test_without_tailscale_the_way_by_ssh_is_told(browser: Browser, tmp_path: Path) -> None:
    done = relay(browser.node, "dashboard", "publish", "--json", PATH=str(tmp_path))
    assert (done.returncode, _error(done)) == (1, "no_tailscale")
    assert f"ssh -N -L {browser.port}:127.0.0.1:{browser.port}" in json.loads(done.stdout)["error"]["hint"]


@pytest.mark.parametrize("origin", ["http://a.example", "https://a.example/", "https://a.example:8443", "https://", 1])
def test_a_public_address_is_a_name_and_nothing_else(browser: Browser, origin: object) -> None:
    with browser.node.control() as opened, pytest.raises(ControlError) as refused:
        opened.post("dashboard/publish", {"origin": origin})
    assert refused.value.code == "usage"

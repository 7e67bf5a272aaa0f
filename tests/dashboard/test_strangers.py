"""Who is not let in: other sites, other ports, other users of the machine, and what has no token."""

from __future__ import annotations

import contextlib
import socket

import pytest
import websockets

from relay.api.bounded_http import MAX_HEAD
from relay.dashboard.armour import WORKERS, policy
from tests.dashboard.browser import WITHIN, Browser

PATHS = ("/", "/static/index.html", "/openapi.json", "/api/v1/status", "/session", "/nothing")


def test_another_name_for_this_machine_is_turned_away_before_anything_is_looked_at(browser: Browser) -> None:
    """DNS rebinding: the name of a foreign site points to loopback, and its page has even a token."""
    port = browser.port
    foreign = [f"evil.example:{port}", "evil.example", "127.0.0.1", f"127.0.0.1:{port + 1}", "", None, "[::1]"]
    foreign += [f"127.0.0.1.evil.example:{port}", f"127.0.0.1:{port}@evil.example"]
    for host in foreign:
        for path in PATHS:
            answer = browser.ask("GET", path, Host=host)
            assert (answer.status, answer.code) == (421, "foreign_host"), (host, path)


def test_two_names_at_once_are_none(browser: Browser) -> None:
    with contextlib.closing(socket.create_connection(("127.0.0.1", browser.port), WITHIN)) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{browser.port}\r\nHost: evil.example\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 421 ")


def test_the_names_of_this_machine_are_its_own(browser: Browser) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert browser.ask("GET", "/", Host=f"{host}:{browser.port}").status == 200


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "http://evil.example", "null", "https://127.0.0.1:{port}"])
def test_a_page_of_elsewhere_may_post_nothing(browser: Browser, origin: str) -> None:
    answer = browser.ask("POST", "/api/v1/person", {"operation": "1"}, Origin=origin.format(port=browser.port))
    assert (answer.status, answer.code) == (403, "foreign_origin")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_the_browser_says_comes_from_elsewhere_is_refused(browser: Browser, site: str) -> None:
    """Where the page sent no origin, as some do."""
    answer = browser.ask("POST", "/session", {"code": "x"}, Origin=None, Sec_Fetch_Site=site)
    assert (answer.status, answer.code) == (403, "foreign_origin")


def test_a_program_needs_no_origin_to_post(browser: Browser) -> None:
    answer = browser.ask("POST", "/api/v1/person", {"operation": "1"}, Origin=None, Sec_Fetch_Site=None)
    assert answer.status == 200


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:1", "http://localhost:{port}", "http://evil.example"])
async def test_a_socket_needs_the_origin_of_the_page(browser: Browser, origin: str | None) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with browser.socket(origin and origin.format(port=browser.port)):
            pass
    assert refused.value.response.status_code == 403
    assert "content-security-policy" in refused.value.response.headers


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer x", "Basic {token}", "bearer {token}", "Bearer {token}x"])
def test_without_a_good_token_nothing_is_told(browser: Browser, token: str) -> None:
    for path in ("status", "events", "nothing", "dashboard/devices"):
        shown = token.format(token=browser.token)
        answer = browser.ask("GET", f"/api/v1/{path}", Authorization=shown or None)
        assert (answer.status, answer.code) == (401, "no_token")


@pytest.mark.parametrize("path", [*PATHS, "/sw.js", "/static/../session.py", "/static/%2e%2e/session.py"])
def test_every_answer_forbids_frames_scripts_and_sniffing(stranger: Browser, path: str) -> None:
    headers = stranger.ask("GET", path).headers
    assert headers["content-security-policy"] == (WORKERS if path == "/sw.js" else policy(stranger.origin))
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert not {"set-cookie", "access-control-allow-origin", "server"} & set(headers)


def test_the_policy_of_a_page_lets_it_speak_to_its_own_broker_alone() -> None:
    assert "connect-src 'self' ws://127.0.0.1:7412;" in policy("http://127.0.0.1:7412")
    assert "connect-src 'self' wss://laptop.tail1.ts.net;" in policy("https://laptop.tail1.ts.net")
    assert "frame-ancestors 'none'" in policy("http://127.0.0.1:7412")


@pytest.mark.parametrize("path", ["/static/", "/static/__init__.py", "/static/../session.py", "/static//index.html"])
def test_only_files_of_the_page_are_served(stranger: Browser, path: str) -> None:
    assert stranger.ask("GET", path).status == 404


def test_a_file_that_did_not_change_is_not_sent_again(stranger: Browser) -> None:
    first = stranger.ask("GET", "/static/index.html")
    assert (first.headers["cache-control"], first.headers["content-type"]) == ("no-cache", "text/html; charset=utf-8")
    again = stranger.ask("GET", "/", If_None_Match=first.headers["etag"])
    assert (again.status, again.data, again.headers["etag"]) == (304, b"", first.headers["etag"])


def test_a_head_that_does_not_end_is_not_read_for_ever(stranger: Browser) -> None:
    with contextlib.closing(socket.create_connection(("127.0.0.1", stranger.port), WITHIN)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n")
        # what was sent may stand in the system's buffers: that it is read no more is told by the end of the connection
        with contextlib.suppress(ConnectionError):
            for _ in range(64 * MAX_HEAD // 1024):
                raw.sendall(b"x-more: " + b"x" * 1014 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            while raw.recv(65536):
                pass


def test_it_listens_on_the_one_address_of_loopback(browser: Browser) -> None:
    """127.0.0.2 is this machine too, and would answer were it bound to every address."""
    assert browser.ask("GET", "/").status == 200
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", browser.port), WITHIN)

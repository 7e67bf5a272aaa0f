"""A receiver of notifications, in the forms of ntfy and of webhooks: a real HTTP server on loopback."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from relay.testing.processes import wait_until

SECRET = "topsecretpath"
PASSWORD = "hunter2hunter2"


@dataclass(frozen=True, slots=True)
class Got:
    """One notification: where it came, its title and text."""

    path: str
    title: str
    text: str

    @property
    def event(self) -> str:
        """The id of the event that it tells of."""
        found = re.search(r"^event (\S+)$", self.text, re.M)
        assert found is not None, self.text
        return found[1]


class Receiver:
    """The server. Made by `with Receiver() as receiver`.

    Attributes:
        got: what came, in order.
        down: paths whose service is down: they answer 503.
        moved: paths that are told to be elsewhere, where a GET is answered 200.
        endless: paths whose answer, 200, has no end.
        fetched: what was asked for by GET.
        poured: bytes of endless answers that were taken.
        on_request: called before it answers.
    """

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.down: set[str] = set()
        self.moved: set[str] = set()
        self.endless: set[str] = set()
        self.fetched: list[str] = []
        self.poured = 0
        self.on_request: Callable[[], None] = lambda: None
        outer = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer._take(self.path, body)
                path = self.path.strip("/")
                self.send_response(503 if path in outer.down else 302 if path in outer.moved else 200)
                if path in outer.endless:
                    self._pour()
                    return
                self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", "2")
                with contextlib.suppress(ConnectionError):  # who waited too long has gone
                    self.end_headers()
                    self.wfile.write(b"{}")

            def _pour(self) -> None:
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        outer.poured += self.wfile.write(bytes(1 << 20))

            def do_GET(self) -> None:
                outer.fetched.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def heal(self) -> None:
        """Nothing has come, and everything is taken."""
        for each in (self.got, self.down, self.moved, self.endless, self.fetched):
            each.clear()
        self.poured = 0
        self.on_request = lambda: None

    def _take(self, path: str, body: dict[str, Any]) -> None:
        if path.strip("/") not in self.down:
            self.got.append(Got(path, str(body["title"]), str(body["message"])))
        self.on_request()

    @property
    def port(self) -> int:
        """On loopback."""
        return int(self._server.server_address[1])

    def webhook(self, path: str = SECRET) -> str:
        """The address of a webhook that takes JSON."""
        return f"json://user:{PASSWORD}@127.0.0.1:{self.port}/{path}"

    def ntfy(self, topic: str = SECRET) -> str:
        """The address of a topic of ntfy."""
        return f"ntfy://user:{PASSWORD}@127.0.0.1:{self.port}/{topic}"

    def told_of(self, name: str) -> list[Got]:
        """What came about the spawn of this name."""
        return [each for each in self.got if each.title.startswith(f"{name} on ")]

    def wait_for(self, name: str, within: float = 30.0) -> Got:
        """The first word about a spawn."""
        wait_until(lambda: bool(self.told_of(name)), within, f"word of {name}; there is {self.got}")
        return self.told_of(name)[0]

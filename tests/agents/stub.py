"""The model interfaces of four makers on loopback, answering from a script. No agent under test reaches any other.

    with Stub() as stub:
        stub.plays(Failure(429), Tool("Write", {...}), Text("Done."))

Each request for an answer takes the next step; the last one is repeated. What was asked is kept in `stub.requests`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.agents.speech import FORMS, MODEL, Said, Text


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer with an error status."""

    status: int
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer begins, and then nothing comes until the stub is closed or so many seconds have passed."""

    seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends in the middle of the answer."""

    said: Said = field(default_factory=lambda: Text("This is cut off in the middle of a word"))


Step = Said | Failure | Slow | Drop


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for an answer.

    Attributes:
        form: `anthropic`, `responses`, `chat` or `gemini`.
        path: of the request.
        headers: with names in small letters.
        body: as JSON.
    """

    form: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The body as text, to look for words in it."""
        return json.dumps(self.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    stub: Stub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An agent that was killed leaves broken connections behind; that is no fault of the stub."""


class Stub:
    """The server and its script. A context manager."""

    def __init__(self, *steps: Step) -> None:
        self._steps: list[Step] = list(steps) or [Text("Done.")]
        self._lock = threading.Lock()
        self._taken = 0
        self.requests: list[Asked] = []
        self.others: list[str] = []
        self.needs_tools = False  # what brings no tools is beside the task (a title for it), and takes no step
        self.closing = threading.Event()
        self.asked = threading.Condition(self._lock)
        self._server = _Server(("127.0.0.1", 0), _Conversation)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone: connections are refused from now on."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def plays(self, *steps: Step) -> None:
        """Begin another script."""
        with self._lock:
            self._steps, self._taken = list(steps), 0

    def next_step(self, asked: Asked) -> tuple[Step, int]:
        """The step that answers a request, and the number of the request."""
        with self._lock:
            if self.needs_tools and not asked.body.get("tools"):
                return Text("A title"), 0
            self.requests.append(asked)
            step = self._steps[min(self._taken, len(self._steps) - 1)]
            self._taken += 1
            self.asked.notify_all()
            return step, len(self.requests)

    def await_requests(self, count: int, within: float) -> None:
        """Wait until so many requests for an answer have come.

        Raises:
            TimeoutError: they have not.
        """
        with self.asked:
            if not self.asked.wait_for(lambda: len(self.requests) >= count, within):
                raise TimeoutError(f"{len(self.requests)} of {count} requests; others: {self.others}")


def _form_of(path: str) -> str | None:
    plain = path.partition("?")[0]
    endings: list[tuple[str, Callable[[str], bool]]] = [
        ("anthropic", lambda each: each.endswith("/v1/messages")),
        ("responses", lambda each: each.endswith("/responses")),
        ("chat", lambda each: each.endswith("/chat/completions")),
        ("gemini", lambda each: each.endswith((":generateContent", ":streamGenerateContent"))),
    ]
    return next((form for form, fits in endings if fits(plain)), None)


class _Conversation(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked stands in `Stub.requests`."""

    def do_GET(self) -> None:
        self.server.stub.others.append(f"GET {self.path}")
        self._whole(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}], "models": []})

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", "0")))
        form = _form_of(self.path)
        if form is None:
            self._beside_the_point()
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(form, self.path, headers, json.loads(data or b"{}"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(asked, *self.server.stub.next_step(asked))

    def _beside_the_point(self) -> None:
        self.server.stub.others.append(f"POST {self.path}")
        counting = self.path.partition("?")[0].endswith(("count_tokens", ":countTokens"))
        self._whole(200, {"input_tokens": 1, "totalTokens": 1} if counting else {})

    def _answer(self, asked: Asked, step: Step, n: int) -> None:
        streams = bool(asked.body.get("stream")) or ":streamGenerateContent" in asked.path
        form = FORMS[asked.form]
        if isinstance(step, Failure):
            self._whole(step.status, form.error(step.status, step.message), step.headers)
        elif isinstance(step, Slow):
            self._begin(200, "text/event-stream")
            self.server.stub.closing.wait(step.seconds)
        elif isinstance(step, Drop):
            self._begin(200, "text/event-stream")
            self.wfile.write(form.stream(step.said, n)[: -len(form.stream(step.said, n)) // 2])
        elif streams:
            self._begin(200, "text/event-stream")
            self.wfile.write(form.stream(step, n))
        else:
            self._whole(200, form.whole(step, n))

    def _begin(self, status: int, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "connection": "close", **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def _whole(self, status: int, document: dict[str, Any], more: dict[str, str] | None = None) -> None:
        data = json.dumps(document).encode()
        self._begin(status, "application/json", {"content-length": str(len(data)), **(more or {})})
        self.wfile.write(data)

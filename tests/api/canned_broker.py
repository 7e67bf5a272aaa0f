"""A broker with canned answers on a real Unix socket: for what the clients and verbs make of answers, not more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import starlette.requests
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from relay import __version__
from relay.api.home import Home, make_socket_folder

Request = starlette.requests.Request
LAPTOP = {"id": "a" * 56, "name": "laptop"}
VPS = {"id": "b" * 56, "name": "vps"}
NOW = "2026-01-02T03:04:05.678Z"
RESULT = {"status": "completed", "outcome": "done", "summary": "ok", "output_tail": "all\nwell\n", "usage": {}}


def spawn(**changes: Any) -> dict[str, Any]:
    """A spawn as a broker shows it, completed unless said otherwise."""
    plain = {
        "id": "abcdefghijklmnop", "name": "build", "broker": VPS, "origin": LAPTOP, "requested_by": "ann",
        "agent": "shell", "task": "make test", "cwd": "/srv", "mode": "edit", "state": "completed", "reason": "",
        "since": NOW, "attempt": 1, "created": NOW, "started": NOW, "ended": NOW, "exit_code": 0, "signal": None,
        "timeout_s": None, "labels": {}, "truth": {"from": VPS["id"], "at": NOW}, "ack": "Started on vps.",
        "needs": None, "resolved": None, "error": None, "priority": 0, "retries": 0, "not_before": None,
        "after": [], "paused": None, "schedule": None,
        "result": RESULT,
    }  # fmt: skip
    return plain | changes


RUNNING = {"state": "running", "ended": None, "exit_code": None, "result": None}


class CannedBroker:
    """Answers the control contract's routes; `spawns` by name, `asked` keeps the bodies of POSTs.

    Attributes:
        spawns: what `GET spawns/NAME` and its `wait` answer; a list is answered one by one, the last one for ever.
        log: the NDJSON lines of every log.
        asked: (path, body) of each POST.
        looked: the parameters of each question for a list.
        matched, is_exact: how many spawns a list says there are; 0 for those it has.
        everywhere: what `status` counts.
        waited_for: how often somebody began to wait for a spawn's end, or for its log.
    """

    def __init__(self) -> None:
        self.spawns: dict[str, list[dict[str, Any]]] = {"build": [spawn()]}
        self.log: list[dict[str, Any]] = []
        self.log_hangs = False
        self.waited_for = 0
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.pid = os.getpid()
        self.looked: list[dict[str, str]] = []
        self.matched, self.is_exact = 0, True
        self.everywhere = {"running": 2, "needs_you": 1, "queued": 0}

    def app(self) -> Starlette:
        routes = [
            Route("/api/v1/status", lambda _: JSONResponse(self.status())),
            Route("/api/v1/brokers", lambda _: JSONResponse([LAPTOP | {"online": True, "agents": ["shell"]}])),
            Route("/api/v1/spawns", self.all_spawns),
            Route("/api/v1/listing", self.listing),
            Route("/api/v1/away", self.away),
            Route("/api/v1/spawns", self.order, methods=["POST"]),
            Route("/api/v1/spawns/{ref}/log", self.stream),
            Route("/api/v1/spawns/{ref}/stop", self.order, methods=["POST"]),
            Route("/api/v1/spawns/{ref}/wait", self.wait),
            Route("/api/v1/spawns/{ref}", self.one),
            Route("/api/v1/waits", self.waits),
            Route("/api/v1/events", self.events),
            Route("/api/v1/slow", self.slow),
            Route("/api/v1/person", self.order, methods=["POST"]),
            Route("/api/v1/grants/changed", self.order, methods=["POST"]),
            Route("/api/v1/not-json", lambda _: Response("<html>", status_code=500)),
            Route("/api/v1/echo", self.echo, methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes)

    def status(self) -> dict[str, Any]:
        broker = LAPTOP | {"version": __version__}
        return {"pid": self.pid, "running": True, "broker": broker, "everywhere": self.everywhere}

    async def all_spawns(self, request: Request) -> Response:
        return JSONResponse([each[-1] for each in self.spawns.values()])

    async def listing(self, request: Request) -> Response:
        self.looked.append(dict(request.query_params))
        spawns = [each[-1] for each in self.spawns.values()]
        told = {"matched": self.matched or len(spawns), "exact": self.is_exact, "seq": 0}
        return JSONResponse({"spawns": spawns, **told})

    async def away(self, request: Request) -> Response:
        """What has ended since an event; each spawn's end is event 7."""
        self.looked.append(dict(request.query_params))
        spawns = [each[-1] for each in self.spawns.values()]
        needing = [each for each in spawns if each["state"] in ("held", "needs_input")]
        ended = [each for each in spawns if each["ended"] and int(request.query_params.get("seq", 0)) < 7]
        going = len([each for each in spawns if not each["ended"]]) - len(needing)
        return JSONResponse({"needs_you": needing, "ended": ended, "going_on": going, "seq": 7})

    async def order(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, body))
        if body.get("name") == "taken":
            error = {"code": "name_in_use", "message": "there is one", "why": "it lives", "hint": "relay stop taken"}
            return JSONResponse({"error": error}, status_code=409)
        return JSONResponse(self._next(body.get("name", "build")), status_code=201)

    def _next(self, ref: str) -> dict[str, Any]:
        answers = self.spawns.get(ref, self.spawns["build"])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def wait(self, request: Request) -> Response:
        self.waited_for += 1
        found = self._next(request.path_params["ref"])
        if found["state"] == "running":
            await asyncio.sleep(min(float(request.query_params["seconds"]), 0.2))
        return JSONResponse(found)

    async def waits(self, request: Request) -> Response:
        """Of one spawn or several, by their ids: those that are not told apart by theirs are `build`."""
        self.waited_for += 1
        names = {answers[-1]["id"]: name for name, answers in self.spawns.items()}
        found = [self._next(names.get(ref, "build")) for ref in request.query_params["of"].split(",")]
        if all(each["state"] == "running" for each in found):
            await asyncio.sleep(min(float(request.query_params["seconds"]), 0.2))
        return JSONResponse(found)

    async def one(self, request: Request) -> Response:
        ref = request.path_params["ref"]
        if ref.split("@")[0] in self.spawns or ref == "abcdefghijklmnop":
            return JSONResponse(self._next(ref))
        error = {"code": "unknown_spawn", "message": f"no spawn {ref}", "why": "", "hint": "relay ps --all"}
        return JSONResponse({"error": error}, status_code=404)

    async def stream(self, request: Request) -> Response:
        self.waited_for += 1
        async def lines() -> AsyncIterator[bytes]:
            for line in self.log:
                yield json.dumps(line).encode() + b"\n"
            if self.log_hangs:
                await asyncio.sleep(30)

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def events(self, request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            for seq in range(1000):
                event = {"seq": seq, "at": NOW, "kind": "spawn.state", "query": request.url.query}
                yield json.dumps(event).encode() + b"\n"

        return StreamingResponse(lines())

    async def slow(self, request: Request) -> Response:
        await asyncio.sleep(5)
        return JSONResponse({})

    async def echo(self, request: Request) -> Response:
        body = (await request.body()).decode()
        return JSONResponse({"path": request.url.path, "query": request.url.query, "body": body, "pad": "x" * 300_000})


def mark_set_up(home: Home) -> None:
    """Make a folder look like a broker's."""
    os.makedirs(home.path, mode=0o700, exist_ok=True)
    Path(home.workspace_key).touch(mode=0o600)


@contextlib.contextmanager
def serving(home: Home, broker: CannedBroker) -> Iterator[uvicorn.Server]:
    """The canned broker on the home's socket, in a thread."""
    mark_set_up(home)
    make_socket_folder(home)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(home.socket)
    listening.listen(64)
    settings = uvicorn.Config(broker.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()

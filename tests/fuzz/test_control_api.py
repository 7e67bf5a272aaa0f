"""Whatever a program of this user says on the control socket: an answer with a reason, and nothing started by it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from relay.testing.control import Control, connected
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.fuzz.mutation import mutants

_SUITE_CASES = 1_500
_CHAOS_CASES = 200_000
_CHAOS_SECONDS = 1_500
# What may be said of a spawn, in a form that is taken in but for its agent, which nobody has.
_ORDER: dict[str, Any] = {
    "name": "-", "agent": "nobody", "task": "say", "argv": [], "broker": None, "cwd": "new", "caller_cwd": "/",
    "mode": "plan", "model": "m", "timeout_s": 5.0, "labels": {"a": "b"}, "ttl_s": 60.0, "requested_by": "ann",
    "priority": 3, "after": [], "after_any": [], "every": None, "retries": 2, "not_before": None, "collect": ["a.txt"],
    "tty": False, "stdin": True, "memory": 1 << 26, "cpus": 1.5, "keep_awake": False,
}  # fmt: skip
_PERSON = {"requested_by": "ann"}
_NOBODY = "a" * 16
_POSTS: dict[str, dict[str, Any]] = {
    "spawns": _ORDER,
    "trials": _ORDER,
    "schedules": _ORDER | {"every": "30 2 * * *", "not_before": 5},
    f"spawns/{_NOBODY}/edit": _PERSON | {"task": "x", "priority": 1, "not_before": 7, "timeout_s": 4.0},
    f"spawns/{_NOBODY}/stop": {},
    f"spawns/{_NOBODY}/files": {"to": "/nowhere", "force": False},
    f"spawns/{_NOBODY}/pause": _PERSON,
    f"spawns/{_NOBODY}/resume": _PERSON,
    f"spawns/{_NOBODY}/retry": _PERSON,
    f"schedules/{_NOBODY}/remove": _PERSON,
    "queue/pause": _PERSON | {"broker": "nobody"},
    "queue/resume": _PERSON | {"broker": None},
    "answers": _PERSON | {"ref": _NOBODY, "request": "r", "answer": "yes", "text": "t", "approve": True},
    "resolutions": _PERSON | {"ref": _NOBODY, "verdict": "done", "notes": "n", "all": False},
    "brokers/nobody/ping": {},
    "brokers/nobody/rename": {"name": "x"},
    "brokers/nobody/forget": {},
    "brokers/nobody/evict": {"reason": "why"},
    "brokers/nobody/promote": {},
    "brokers/nobody/demote": {},
    "outbox/retry": {"id": "00" * 16, "all": False, "broker": None},
    "outbox/drop": {"id": "00" * 16, "all": False, "broker": None},
    "invites": {"ttl_s": 60.0, "code": True},
    "joins": {"link": "relay://join/AAAA", "name": "x", "address": None},
    "person": {},
    "grants/changed": {},
    "identity/keep": {},
    "blobs": {"path": "/nowhere", "broker": "nobody", "name": "x"},
    "blobs/remove": {"blob": "00" * 32},
}
_GETS: dict[str, tuple[str, ...]] = {
    "status": (), "settings": (), "brokers": (), "roster": (), "workspace": (), "review": (), "failures": (),
    "outbox": (), "blobs": (), "audit/verify": (), "brokers/REF": (), "spawns/REF": (), "spawns/REF/wait": ("seconds",),
    "spawns/REF/log": ("offset", "tail", "since"), "spawns": ("all", "broker", "limit"), "audit": ("limit",),
    "listing": ("state", "broker", "agent", "label", "since", "until", "limit", "text", "before", "name"),
    "away": ("seq", "since"), "queue": ("states",), "schedules": ("all",), "waits": ("of",), "events": ("since",),
    "audit/lines": ("since",),
}  # fmt: skip
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", " ", "\0", "a" * 70_000, "\u202e\x1b[2J", "\ud800", "-", "--", "../../etc", "a/b", "0", "1e999",
    "none", "all", "completed,queued", "nan", [], {}, [[]], [None], ["x"] * 3_000, {"": ""}, {"a": {"b": []}},
    [1, "2", None],
)  # fmt: skip
_QUERIES = (
    "", "0", "-1", "1", "1e9", "nan", "inf", "9" * 400, "a", "\0", "%", "é", "completed", "x" * 3_000, "5,6", "-0",
)  # fmt: skip


def _seed() -> int:
    return int(os.environ.get("RELAY_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)


def _bent(rng: random.Random, value: Any) -> Any:
    """The value with one part of it replaced, left out or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        kept = dict(value)
        match rng.randrange(5):
            case 0:
                del kept[key]
            case 1:
                kept[rng.choice(["x", "operation", "wait", key.upper(), ""])] = rng.choice(_ODD)
            case 2:
                kept[key] = _bent(rng, kept[key])
            case _:
                kept[key] = rng.choice(_ODD)
        return kept
    return rng.choice(_ODD)


def _posts(rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    while True:
        route, body = rng.choice(list(_POSTS.items()))
        body = body | {"operation": rng.randbytes(16).hex()}
        for _ in range(rng.randint(1, 3)):
            body = _bent(rng, body)
        data = json.dumps(body).encode()
        if rng.random() < 0.2:
            data = next(mutants(data, rng.getrandbits(32)))
        yield "POST", route, data


def _gets(rng: random.Random) -> Iterator[tuple[str, str, bytes]]:
    while True:
        route, names = rng.choice(list(_GETS.items()))
        chosen = [name for name in names if rng.random() < 0.7]
        pairs = [f"{name}={quote(rng.choice(_QUERIES))}" for name in chosen if name != "seconds"]
        ref = quote(rng.choice((*_QUERIES[1:], _NOBODY, "..", ".", "a/b")), safe="")
        yield "GET", route.replace("REF", ref) + ("?" + "&".join(pairs) if pairs else ""), b""


def _ask(control: Control, method: str, route: str, data: bytes) -> str:
    """The answer's code, or `ok`."""
    status, answer = control._exchange(method, route, data.decode("latin-1") if data else None)
    if status < 400:
        return "ok"
    error = json.loads(answer)["error"]
    assert {"code", "message", "why", "hint"} <= error.keys()
    assert status < 500 or error["code"] != "internal", f"{status} {error}"
    return str(error["code"])


def _bombard(node: Node, count: int, seed: int, within: float) -> Counter[str]:
    rng, told, until = random.Random(seed), Counter[str](), time.monotonic() + within
    posts, gets = _posts(rng), _gets(rng)
    with connected(node.socket, 20) as control:
        for _ in range(count):
            method, route, data = next(posts) if rng.random() < 0.7 else next(gets)
            try:
                told[_ask(control, method, route, data)] += 1
            except (AssertionError, OSError, http.client.HTTPException) as error:
                said = f"{error!r} for {method} {route} {data[:2_000]!r}"
                raise AssertionError(f"{said} (RELAY_FUZZ_SEED={seed})") from error
            if time.monotonic() > until:
                break
    return told


def _started(node: Node) -> list[dict[str, Any]]:
    with node.control() as control:
        return [each for each in control.spawns() if each["started"]]


def _asked_far_ahead(node: Node) -> int:
    """How many of 1,000 requests are answered to who reads none of the answers before it has asked them all."""
    request = b"GET /api/v1/settings HTTP/1.1\r\nHost: relay\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as asking, contextlib.suppress(ConnectionError):
        asking.settimeout(20)
        asking.connect(str(node.socket))
        asking.sendall(request * 1_000)
        said = b""
        while more := asking.recv(65_536):
            said += more
            assert said.count(b"HTTP/1.1 200") < 1_000, "all of them were kept"
        return said.count(b"HTTP/1.1 200")
    return 0


def _assert_withstands(mesh: Mesh, count: int, within: float) -> Counter[str]:
    node, seed = mesh.add("vps"), _seed()
    told = _bombard(node, count, seed, within)
    assert _started(node) == [], f"seed {seed}"
    assert _asked_far_ahead(node) < 50
    assert "Traceback" not in node.log(), f"seed {seed}"
    node.relay("status")
    return told


@pytest.mark.timeout(150)
def test_bad_requests_on_the_control_socket() -> None:
    """1,500 requests wrong in themselves, or nearly right."""
    with Mesh.scratch("relay-fuzz-") as mesh:
        told = _assert_withstands(mesh, _SUITE_CASES, 90)
    assert told.total() == _SUITE_CASES
    assert len(told) > 5, told


@pytest.mark.chaos
@pytest.mark.timeout(_CHAOS_SECONDS + 120)
def test_bad_requests_on_the_control_socket_for_long() -> None:
    """200,000 requests, with the answers counted."""
    began = time.monotonic()
    with Mesh.scratch("relay-fuzz-") as mesh:
        told = _assert_withstands(mesh, _CHAOS_CASES, _CHAOS_SECONDS)
    print(f"\ncontrol API: {told.total():,} requests in {time.monotonic() - began:.0f} s: {dict(told.most_common())}")
    assert told.total() == _CHAOS_CASES

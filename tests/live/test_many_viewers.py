"""Any number may look at a task, and whoever looks keeps nobody from typing into it."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from collections.abc import Iterator

from relay.testing import processes
from relay.testing.node import Node
from tests.e2e.scene import Scene, relay, relay_json

MANY = 80


def _looking(node: Node, spawn: str, source: int) -> socket.socket:
    """A viewer of this spawn, by the control socket of a node."""
    ask = json.dumps({"source": base64.b64encode(source.to_bytes(16, "big")).decode(), "drive": False}).encode() + b"\n"
    head = f"POST /api/v1/spawns/{spawn}/attach HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(15)
    opened.connect(str(node.socket))
    opened.sendall(head.encode() + f"{len(ask):x}\r\n".encode() + ask + b"\r\n")
    assert b"200" in opened.recv(4096)
    return opened


@contextlib.contextmanager
def _crowd(node: Node, spawn: str) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_looking(node, spawn, n)) for n in range(1, MANY + 1)]


def _reads(viewer: socket.socket, text: bytes) -> bool:
    """Whether it is shown this within its patience."""
    seen = b""
    while text not in b"".join(map(base64.b64decode, re.findall(rb'"data":\s*"([^"]*)"', seen))):
        more = viewer.recv(65536)
        if not more:
            return False
        seen += more
    return True


def test_who_may_only_look_keeps_nobody_from_typing(two: Scene) -> None:
    two.vps.relay("trust", "allow", two.laptop.id, "--verb", "view")
    words = ("spawn", "-", "shell", "while read line; do echo got $line; done", "--stdin", "--cwd", str(two.vps.work))
    spawn = relay_json(two.vps, *words, "--timeout", "90s")["id"]
    processes.wait_until(lambda: relay_json(two.vps, "show", spawn)["state"] == "running", 15, "it to run")
    with _crowd(two.laptop, f"{spawn}@vps") as viewers:
        relay(two.vps, "send", spawn, "hello")
        processes.wait_until(lambda: b"got hello" in relay(two.vps, "logs", spawn).stdout, 10, "what was sent")
        assert all(_reads(viewer, b"got hello") for viewer in viewers)
    relay(two.vps, "stop", spawn)

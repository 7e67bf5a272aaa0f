"""Many followers of one log, through restarts of the brokers under them: every line once to each."""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore
from typing import Any

from relay.api import raw_lines, routes
from relay.api.client import Client
from relay.api.home import Home
from relay.api.routes import Call
from relay.cli.resuming import over_restarts
from relay.testing import processes
from relay.testing.node import Node
from tests.e2e.scene import Scene


def follow(node: Node, spawn: str, begun: Semaphore, as_bytes: bool) -> bytes:
    """All that a follower of a broker reads, from the start to the spawn's end; `begun` counts its first line."""
    found: list[bytes] = []

    def call(at: int | None) -> Call[Any]:
        asked = routes.log(spawn, True, offset=at)
        return raw_lines.as_bytes(asked) if as_bytes else asked

    with Client(Home(str(node.home))) as client:
        for line in over_restarts(client, call, None, "next", follow=True):
            if not found:
                begun.release()
            found.append(_bytes_of(line))
    return b"".join(found)


def _bytes_of(line: Any) -> bytes:
    data: str | bytes = line["data"]
    if isinstance(data, bytes):
        return data
    return base64.b64decode(line["raw"]) if "raw" in line else data.encode()


def through_restarts(scene: Scene, followers: int, restarts: int, seconds: float) -> None:
    """Let `followers` follow a task from both machines while their brokers are restarted; each must see all of it.

    Args:
        seconds: how long the task writes at least.
    """
    gate = scene.vps.work / "followed"
    gate.unlink(missing_ok=True)
    script = f"i=0; while [ ! -e {gate} ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo end $i"
    spawn = scene.begin(script)
    scene.until(spawn, "running")
    begun, nodes = Semaphore(0), (scene.laptop, scene.vps)
    with ThreadPoolExecutor(followers) as pool:
        reading = [pool.submit(follow, nodes[n % 2], spawn, begun, n % 4 < 2) for n in range(followers)]
        try:
            assert all(begun.acquire(timeout=30) for _ in range(followers))
            _restart(scene, restarts, seconds)
        finally:
            gate.touch()
        _compare(scene, spawn, reading)


def _restart(scene: Scene, restarts: int, seconds: float) -> None:
    for n in range(restarts):
        node = (scene.vps, scene.laptop)[n % 2]
        processes.wait_until(_grown(scene, _written(scene)), seconds, "output to go on")
        node.restart() if n % 4 < 2 else _in_order(node)
        scene.linked()


def _grown(scene: Scene, size: int) -> Callable[[], bool]:
    return lambda: _written(scene) > size


def _in_order(node: Node) -> None:
    node.stop()
    node.start()


def _written(scene: Scene) -> int:
    return sum(file.stat().st_size for file in (scene.vps.home / "attempts").glob("*/log"))


def _compare(scene: Scene, spawn: str, reading: list[Future[bytes]]) -> None:
    ended = scene.until(spawn, "completed", within=30)
    assert ended["exit_code"] == 0
    expected = follow(scene.vps, spawn, Semaphore(0), as_bytes=False)
    *lines, last = expected.decode().splitlines()
    assert lines == [f"line {n}" for n in range(1, len(lines) + 1)] and last == f"end {len(lines)}"
    for each in reading:
        assert each.result(30) == expected

"""Remote spawns: one at a time and many at once, through the API and through the whole command.

A round trip goes from the request to the terminal state as the origin has it durably: `exec` of /bin/true on the
other broker, its exit status back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from bench import command
from bench.timing import Job
from relay.api import routes
from relay.api.aclient import AsyncClient
from relay.api.home import Home
from relay.api.shapes import Spawn, SpawnOrder
from relay.testing.control import Control
from relay.testing.node import Node

ROUND_TRIPS = 300
ROUND_TRIPS_WITHIN = 15.0
MANY = 300
MANY_WITHIN = 15.0


def _order(target: Node) -> SpawnOrder:
    words = ["/bin/true"]
    place: SpawnOrder = {"broker": target.name, "cwd": str(target.work)}
    return {"name": "-", "agent": "exec", "task": "", "argv": words, "wait_s": 30.0, **place}


def _check(spawn: Mapping[str, Any]) -> None:
    if spawn["state"] != "completed" or spawn["exit_code"] != 0:
        raise RuntimeError(f"a spawn ended as {spawn['state']}: {spawn['reason']} {spawn['error']}")


def round_trip(control: Control, target: Node) -> Job:
    """One at a time, through the API of the origin that `control` is connected to."""
    return Job(lambda: once(control, target), ROUND_TRIPS, ROUND_TRIPS_WITHIN, warm_up=20)


def once(control: Control, target: Node) -> None:
    """One round trip."""
    _check(control.post("spawns", dict(_order(target))))


def whole_command(origin: Node, target: Node) -> Job:
    """`relay spawn --wait`, from its start to its exit status."""
    place = ("--broker", target.name, "--cwd", str(target.work))
    return command.relay(origin, "spawn", "-", "exec", *place, "--wait", "--", "/bin/true")


async def _asked(client: AsyncClient, order: SpawnOrder) -> None:
    ended: Spawn = await client.ask(routes.spawn(order))
    _check(ended)


async def _rate(client: AsyncClient, order: SpawnOrder, count: int, in_flight: int) -> float:
    left, done = iter(range(count)), 0
    started, end = time.perf_counter(), time.monotonic() + MANY_WITHIN

    async def one_after_another() -> None:
        nonlocal done
        for _ in left:
            if time.monotonic() > end:
                return
            await _asked(client, order)
            done += 1

    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    return done / (time.perf_counter() - started)


async def _many(origin: Node, target: Node, in_flight: int) -> float:
    async with AsyncClient(Home(origin.home)) as client:
        order = _order(target)
        await _rate(client, order, in_flight, in_flight)  # opens the connections
        return await _rate(client, order, MANY, in_flight)


def per_second(origin: Node, target: Node, in_flight: int) -> float:
    """Spawns a second, each waited for, with so many in flight."""
    return asyncio.run(_many(origin, target, in_flight))

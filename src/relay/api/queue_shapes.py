"""The JSON of the queue: what became of a request, and schedules."""

from __future__ import annotations

from typing import Literal, TypedDict

from relay.api.shapes import Fault, Named, Spawn


class Steer(TypedDict):
    """What became of a request to a spawn's or a queue's broker."""

    verb: str
    state: Literal["done", "asked"]
    broker: Named


class SteeredSpawn(Spawn):
    """A spawn, and what became of the request."""

    steer: Steer


class Schedule(TypedDict):
    """What runs again and again."""

    id: str
    name: str
    broker: Named
    origin: Named
    agent: str
    task: str
    every: str
    state: Literal["asked", "active", "refused", "removed"]
    created: str
    next: str | None
    last: str | None
    last_spawn: str | None
    runs: int
    skipped: int
    error: Fault | None

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


class SpawnChange(TypedDict, total=False):
    """The body of `POST spawns/{ref}/edit`: what is not in it stays as it is."""

    task: str
    argv: list[str]
    cwd: str
    mode: str | None
    model: str
    timeout_s: float | None
    labels: dict[str, str]
    ttl_s: float | None
    priority: int
    retries: int
    not_before: int | None
    after: list[str]
    after_any: list[str]

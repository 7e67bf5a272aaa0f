"""The JSON of the dashboard: where it is served, its codes and its devices; see `shapes`."""

from __future__ import annotations

from typing import TypedDict


class DashboardPlace(TypedDict):
    """Where it is served; `address` and `port` are null while it is not, `published` where it has no public name.

    `terminal` says whether it can show a task's terminal.
    """

    address: str | None
    port: int | None
    wanted_port: int
    published: str | None
    terminal: bool


class DashboardCode(DashboardPlace):
    """A code that opens it once."""

    code: str
    expires: str
    scopes: list[str]


class Device(TypedDict):
    """One browser that may open it."""

    id: str
    name: str
    scopes: list[str]
    created: str
    last_used: str | None
    fingerprint: str

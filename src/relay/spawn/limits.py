"""What this machine gives to tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from relay.core.values import frozen


@frozen
class Limits:
    """What this machine gives to tasks.

    Attributes:
        parallel: how many may be in hand at once.
        default_timeout_s: for requests that name none; None for no limit.
        log_limit: bytes that one log may have.
        environment: makes a task's environment from the agent's additions and the spawn's id.
        slots: how many of one sort may be in hand at once, by the slot's name.
    """

    parallel: int
    default_timeout_s: float | None
    log_limit: int
    environment: Callable[[dict[str, str], str], dict[str, str]]
    slots: Mapping[str, int] = field(default_factory=dict)

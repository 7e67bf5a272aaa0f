"""The JSON of `relay outbox`, as types."""

from __future__ import annotations

from typing import TypedDict

from relay.api.shapes import Fault


class EnvelopeRow(TypedDict):
    """An envelope on its way."""

    id: str
    kind: str
    peer: str
    state: str
    age_s: float
    tries: int
    next_try: str | None
    reason: str | None


class Outbox(TypedDict):
    """All envelopes this broker holds."""

    outgoing: list[EnvelopeRow]
    incoming: list[EnvelopeRow]
    held_for_others: list[EnvelopeRow]
    dead: list[EnvelopeRow]


class OutboxRefused(EnvelopeRow):
    """An envelope with which nothing was done, and why."""

    error: Fault


class OutboxDone(TypedDict):
    """What `outbox retry` and `outbox drop` did."""

    done: list[EnvelopeRow]
    refused: list[OutboxRefused]

"""The JSON of telling persons, as types."""

from __future__ import annotations

from typing import TypedDict

from relay.api.shapes import Named


class ChannelOrder(TypedDict, total=False):
    """A channel to add. The address has secrets in it: it stands in no answer and no log."""

    name: str
    address: str
    on: list[str]
    by: list[str]
    labels: list[str]
    agents: list[str]
    brokers: list[str]
    full: bool
    link: str | None
    instead_of: str | None
    via: list[str]


class Only(TypedDict):
    """What a channel is limited to; an empty list limits nothing."""

    by: list[str]
    labels: list[str]
    agents: list[str]
    brokers: list[Named]


class Via(Named):
    """A broker that tells when this one sleeps: `asked`, `accepted`, `refused` or `failing`, and why."""

    state: str
    why: str


class Told(TypedDict):
    """One event over one channel."""

    event: str
    channel: str | None
    spawn: str | None
    happening: str | None
    text: str
    state: str
    delivered: bool
    tries: int
    error: str | None
    created: str
    next_try: str | None
    ended: str | None
    told_by: Named | None


class Channel(TypedDict):
    """A channel, its address masked."""

    id: str
    name: str
    service: str
    owner: Named
    on: list[str]
    only: Only
    full: bool
    link: str
    instead_of: str | None
    via: list[Via]
    waiting: int
    trouble: str | None
    last: Told | None
    created: str

"""The JSON of answers about who belongs to the workspace."""

from __future__ import annotations

from typing import TypedDict

from relay.api.shapes import Named


class Admitted(Named):
    """One member, and how it came in."""

    signer: bool
    admitted: str
    admitted_by: Named


class Evicted(Named):
    """One that was put out and not admitted again."""

    at: str
    by: Named
    reason: str


class RosterShown(TypedDict):
    """What the signed statements add up to; `head` is what hellos compare."""

    root: Named
    signers: list[Named]
    head: str
    forked: bool
    members: list[Admitted]
    evicted: list[Evicted]


class BrokerEvicted(TypedDict):
    """Who was put out, and when."""

    broker: Named
    at: str
    reason: str

"""The JSON of `relay audit`, as types."""

from __future__ import annotations

from typing import Any, TypedDict

from relay.api.shapes import Named


class AuditEntry(TypedDict):
    """One decision: who wanted what, and what came of it; `broker` is None for a local actor."""

    seq: int
    at: str
    kind: str
    decision: str
    broker: Any
    actor: str
    code: str
    detail: str
    hash: str


class HeldBy(TypedDict):
    """Who holds which entry of this log, signed, and whether the log still has it."""

    broker: Named
    seq: int
    ok: bool


class CutElsewhere(TypedDict):
    """A broker whose log had so many entries, and has them no longer."""

    broker: Named
    seq: int
    found: str


class AuditVerdict(TypedDict):
    """Whether the audit chain holds, and up to where."""

    ok: bool
    entries: int
    head: str
    bad_seq: int | None
    held_by: list[HeldBy]
    cut_elsewhere: list[CutElsewhere]

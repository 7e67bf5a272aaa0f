"""The JSON of `relay audit`, as types."""

from __future__ import annotations

from typing import Any, TypedDict


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


class AuditVerdict(TypedDict):
    """Whether the audit chain holds, and up to where."""

    ok: bool
    entries: int
    head: str
    bad_seq: int | None

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


class Promoted(TypedDict):
    """When, and by whom."""

    at: str
    by: Named


class Signer(Named):
    """One that signs; `promoted` is null for the workspace's creator, `forked` says that nothing more of it counts."""

    promoted: Promoted | None
    forked: bool


class RosterShown(TypedDict):
    """What the signed statements add up to; `head` is what hellos compare."""

    root: Named
    signers: list[Signer]
    head: str
    forked: bool
    members: list[Admitted]
    evicted: list[Evicted]


class BrokerPromoted(TypedDict):
    """Who signs from now on."""

    broker: Named
    at: str


class BrokerEvicted(TypedDict):
    """Who was put out, or signs no more, and when."""

    broker: Named
    at: str
    reason: str


class WorkspaceShown(Named):
    """The workspace and its epochs.

    `since` and `by` say when the present epoch began, null for the first; `not_seen_in_it` are members that were not
    linked with this broker since; members may still come with the epochs in `former`; `fingerprint` is the root's id.
    """

    epoch: int
    since: str | None
    by: Named | None
    root: Named
    signers: list[Named]
    may_sign: bool
    members: int
    former: list[int]
    not_seen_in_it: list[Named]
    fingerprint: str


class WorkspaceNamed(Named):
    """A workspace."""

    epoch: int


class Rotated(TypedDict):
    """The epoch that began, and who does not have it yet."""

    workspace: WorkspaceNamed
    at: str
    waiting_for: list[Named]

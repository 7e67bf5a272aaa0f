"""The JSON of the contract about other brokers, as types. As `shapes` in all else."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from relay.api.shapes import Named


class BrokerGrants(TypedDict):
    """Which verbs stand between a broker and us."""

    to_us: list[str] | None
    to_us_at: NotRequired[str | None]
    from_us: list[str]


class AtHolder(Named):
    """How many envelopes a holder keeps."""

    envelopes: int


class Broker(TypedDict):
    id: str
    name: str
    self: bool
    online: bool | None
    presence: NotRequired[Literal["online", "asleep", "down", "gone"] | None]
    last_seen: str | None
    link: Literal["direct", "relayed"] | None
    via: str | None
    rtt_ms: float | None
    clock_skew_ms: NotRequired[int | None]
    outbox: int
    outbox_at: NotRequired[list[AtHolder]]
    held_for_it: NotRequired[int]
    outbox_for_us: NotRequired[int | None]
    trouble: NotRequired[str | None]
    audit_cut: NotRequired[str | None]
    grants: BrokerGrants
    capabilities: list[str]
    agents: list[str]
    version: str | None


class AddressHint(TypedDict):
    """Where a member may be, who says so, and until when it holds."""

    address: str
    source: Literal["config", "link", "record", "mdns", "tailscale"]
    learnt: str | None
    expires: str | None
    worked: str | None


class LinkShown(TypedDict):
    """A link as `broker show` has it."""

    kind: Literal["direct"]
    since: str
    rtt_ms: float | None
    address: str
    dialled_by_us: bool


class RecordShown(TypedDict):
    """When a member last said what it says of itself."""

    incarnation: int
    seq: int
    created: str
    expires: str
    heard: str


class BrokerShown(TypedDict):
    """Everything known of one member."""

    id: str
    id_groups: str
    name: str
    roster_name: str | None
    self: bool
    online: bool
    link: LinkShown | None
    via: Named | None
    last_seen: str | None
    clock_skew_ms: int | None
    incarnation: int | None
    frozen: bool | None
    audit_cut: NotRequired[str | None]
    outbox: int
    outbox_at: NotRequired[list[AtHolder]]
    held_for_it: NotRequired[int]
    addresses: list[AddressHint]
    trouble: str | None
    record: RecordShown | None
    always_on: bool | None
    version: str | None
    capabilities: list[str]
    agents: list[str]
    linked: list[Named]
    grants: BrokerGrants


class BrokerPing(TypedDict):
    """One round trip."""

    broker: Named
    link: Literal["direct"]
    rtt_ms: float


class BrokerRenamed(Named):
    """What a member is called now, and whether on every machine."""

    id_groups: str
    roster_name: str | None
    self: bool
    everywhere: bool


class BrokerForgotten(TypedDict):
    """What was deleted, and whether the member is linked all the same."""

    broker: Named
    addresses: int
    record: bool
    linked: bool

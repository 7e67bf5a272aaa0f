"""The JSON of a dry run: what would become of a spawn, and whose word that is."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from relay.api.shapes import Fault, Named, SpawnTruth
from relay.api.tree_shapes import WorkPlace


class TrialAgent(TypedDict):
    """What that machine's tasks find of the agent; `logged_in` is null where nobody can say."""

    name: str
    path: str | None
    version: str
    logged_in: bool | None
    log_in: str
    note: str


class TrialDirectory(TypedDict):
    """Where it would run."""

    asked: str | None
    path: str
    fresh: bool


class SortOfSlots(TypedDict):
    """One sort of slots that it needs one of."""

    name: str
    used: int
    of: int


class TrialSlots(TypedDict):
    """How many slots are taken, and how many wait before it for one that it lacks."""

    used: int
    of: int
    ahead: int
    sorts: list[SortOfSlots]


class TrialMeans(TypedDict):
    """Whether that machine could do what may be wished for."""

    asked: bool
    possible: bool
    why: str


class TrialFacts(TypedDict):
    """What is told to who may spawn it."""

    agent: TrialAgent
    directory: TrialDirectory
    mode: str
    slots: TrialSlots
    limits: TrialMeans
    keep_awake: TrialMeans
    timeout_s: float | None


class KnownHere(TypedDict):
    """What this broker knows of one that does not answer."""

    online: bool | None
    last_seen: str | None
    absence: str
    version: str | None
    agents: list[str]
    grants: list[str] | None


class Earlier(TypedDict):
    """What the same request made when it was sent before under its idempotency key."""

    kind: Literal["spawn", "schedule"]
    id: str
    name: str
    state: str


class Predecessor(TypedDict):
    """What it would come after."""

    id: str
    condition: str


class Trial(TypedDict):
    """What would become of a spawn."""

    broker: Named
    name: str
    verdict: Literal["start", "wait", "hold", "refuse", "fail", "known", "unknown"]
    reason: str
    error: Fault | None
    truth: SpawnTruth | None
    priority: int
    retries: int
    not_before: str | None
    after: list[Predecessor]
    collect: list[str]
    place: NotRequired[WorkPlace | None]
    expires: str
    next: str | None
    facts: TrialFacts | None
    known_here: KnownHere | None
    earlier: Earlier | None

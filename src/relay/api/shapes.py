"""The JSON of the contract, as types. Every time is RFC 3339 in UTC with milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from relay.api.queue_marks import After, AskedOf, Paused, QueueState, Tried
    from relay.api.tree_shapes import Change, Pushed, WorkPlace

StateName = Literal[
    "queued",
    "delivered",
    "held",
    "waiting",
    "starting",
    "running",
    "needs_input",
    "completed",
    "failed",
    "timed_out",
    "cancelled",
    "rejected",
    "expired",
    "lost",
]


class Named(TypedDict):
    """A broker as others mention it."""

    id: str
    name: str


# written as a call because "from" is a keyword: whose word a spawn is, and when it was said
SpawnTruth = TypedDict("SpawnTruth", {"from": str, "at": str})


class Needs(TypedDict):
    """What a person is asked."""

    request: str
    kind: str
    text: str
    tool: str | None
    input: Any
    hash: str | None
    asked: str | None
    expires: str | None


Resolution = TypedDict("Resolution", {"as": str, "notes": str, "at": str, "by": str})
"""What a person said of an end."""


class CollectedFile(TypedDict):
    """A file that a spawn gave back; `why` where it is not here."""

    path: str
    size: int
    mode: str
    blob: str
    here: bool
    why: str | None


class Durations(TypedDict):
    """Seconds in each phase; None where one is not over, or not known."""

    queued_s: float | None
    delivered_s: float | None
    held_s: float | None
    waiting_s: float | None
    starting_s: float | None
    running_s: float | None


class Result(TypedDict):
    """What a spawn came to."""

    status: str
    outcome: Literal["done", "awaiting_approval", "error"]
    summary: str
    output_tail: str
    usage: dict[str, Any]
    session: NotRequired[str | None]
    branch: NotRequired[str | None]
    diffstat: NotRequired[str | None]
    change: NotRequired[Change | None]
    pushed: NotRequired[Pushed]
    output_before_bytes: NotRequired[int]
    output_lost_bytes: NotRequired[int]
    processes_left: NotRequired[int]
    notes: NotRequired[list[str]]
    files: NotRequired[list[CollectedFile]]


class Fault(TypedDict):
    """An error: what, and what to do next."""

    code: str
    message: str
    why: NotRequired[str]
    hint: str


class Spawn(TypedDict):
    """A request to run something, and how it stands; `attempts`, `asked` and `durations` are told by `show`."""

    id: str
    name: str
    broker: Named
    origin: Named
    requested_by: str
    agent: str
    task: str
    cwd: str | None
    mode: str
    state: StateName
    reason: str
    since: str
    attempt: int
    created: str
    started: str | None
    ended: str | None
    exit_code: int | None
    signal: int | None
    timeout_s: float | None
    labels: dict[str, str]
    truth: SpawnTruth | None
    in_reach: NotRequired[bool]
    place: NotRequired[WorkPlace | None]
    ack: str
    needs: Needs | None
    resolved: Resolution | None
    result: Result | None
    error: Fault | None
    priority: int
    retries: int
    not_before: str | None
    after: list[After]
    paused: Paused | None
    schedule: str | None
    attempts: NotRequired[list[Tried]]
    asked: NotRequired[list[AskedOf]]
    durations: NotRequired[Durations]


class Stop(TypedDict):
    """What a stop came to, and how the spawn stood before it."""

    state: Literal["ended_before", "not_started", "stopped", "ended", "asked", "queued"]
    before: StateName


class StoppedSpawn(Spawn):
    """A spawn that was to be stopped."""

    stop: Stop


class SpawnOrder(TypedDict, total=False):
    """The body of `POST spawns`.

    Attributes:
        operation: minted by the client; the same one never runs twice.
        cwd: a folder on the target, or `new`.
        caller_cwd: for a local spawn without `cwd`: where the person stands.
        argv: for the agent `exec` alone.
        wait_s: answer when it has ended or needs a person, or after so many seconds; else at once.
    """

    operation: str
    name: str
    agent: str
    task: str
    argv: list[str]
    broker: str | None
    cwd: str | None
    caller_cwd: str | None
    mode: str | None
    model: str | None
    timeout_s: float | None
    labels: dict[str, str]
    ttl_s: float | None
    requested_by: str
    wait_s: float
    priority: int | None
    after: list[str]
    after_any: list[str]
    every: str | None
    retries: int | None
    place: dict[str, Any]
    not_before: int | None
    collect: list[str] | None
    tty: bool
    stdin: bool
    memory: int | None
    cpus: float | None
    keep_awake: bool
    max_turns: int
    on_limit: str
    notify: bool


class SelfNamed(Named):
    """This broker."""

    version: str


class Workspace(TypedDict):
    """The workspace a broker belongs to."""

    id: str
    name: str
    epoch: int


class Load(TypedDict):
    """How many envelopes there are, and how large they are together."""

    envelopes: int
    bytes: int


class OutboxCounts(Load):
    """How much is on its way."""

    oldest: str | None


class TaskCounts(TypedDict):
    """What this broker has to do."""

    running: int
    waiting: int
    held: int


class StoreState(TypedDict):
    """How the store is."""

    ok: bool
    sqlite: str


class PresenceCounts(TypedDict):
    """How many of the other brokers are there."""

    online: int
    away: int
    unknown: int


class Everywhere(TypedDict):
    """How many spawns live on all brokers, as far as this one knows; `unreachable`: ran by the last word of theirs."""

    running: int
    unreachable: NotRequired[int]
    needs_you: int
    queued: int


class Status(TypedDict):
    """How a broker is."""

    broker: SelfNamed
    running: bool
    pid: int
    since: str
    listen: list[str]
    workspace: Workspace
    links: int
    brokers: NotRequired[PresenceCounts]
    intake: NotRequired[bool]
    queue: NotRequired[QueueState]
    outbox: OutboxCounts
    held: NotRequired[Load]
    tasks: TaskCounts
    everywhere: NotRequired[Everywhere]
    store: StoreState


class GrantShown(TypedDict):
    """One grant of `trust list`."""

    broker: Named
    verbs: list[str]
    agents: list[str]
    dirs: list[str]
    mode: str
    max_parallel: int
    ask: bool
    expires: str | None
    rate: str | None
    hours: list[str]
    frozen: bool


class LogLine(TypedDict):
    """A piece of output; `raw` (base64) only where the bytes are not UTF-8, `missing` (bytes) only for a gap.

    With `as_of` it is the word that what follows is the end of the output as it was told here at that moment; `reason`
    is why the output itself cannot be read.
    """

    at: str
    stream: Literal["out", "err", "gap", "note"]
    data: str
    raw: NotRequired[str]
    missing: NotRequired[int | None]
    as_of: NotRequired[str]
    reason: NotRequired[str]
    next: int


class RawLogLine(TypedDict):
    """A piece of output as it was, in a raw line (`relay.api.raw_lines`), where that was asked for."""

    at: str
    stream: Literal["out", "err"]
    data: bytes
    next: int


class Event(TypedDict):
    """Something that happened; further keys depend on the kind."""

    seq: int
    at: str
    kind: str
    spawn: NotRequired[Any]
    broker: NotRequired[Any]
    invite: NotRequired[str]


class Check(TypedDict):
    """One finding of `doctor`."""

    name: str
    ok: bool
    detail: str
    hint: str

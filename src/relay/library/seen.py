"""What was seen of spawns, brokers and events: frozen values, each with the document that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from relay.core.errors import Code, RelayError, from_json
from relay.core.states import NEEDS_A_PERSON, TERMINAL, State

if TYPE_CHECKING:
    from relay.api.broker_shapes import Broker as BrokerDocument
    from relay.api.shapes import Event as EventDocument
    from relay.api.shapes import LogLine, Spawn, SpawnOrder

DONE = "done"
COMMANDS = ("shell", "exec", "python")


class NotCompleted(RelayError):
    """What was waited for has ended, and not as it should.

    Attributes:
        ended: how; an `Ended` of a spawn, an `Answer` of a call.
    """

    default_code = Code.TASK_LOST

    def __init__(self, ended: Any, message: str, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class Needs:
    """What a person is asked.

    Attributes:
        request: names the question in an answer.
        kind: what sort of question.
        text: in words.
    """

    request: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a spawn stood when it was looked at.

    Attributes:
        id, name: its own.
        broker: the name of the broker that runs it.
        agent, task: what it runs.
        state: where it stands, by the last word of that broker.
        reason: why it stands there; empty for no particular reason.
        attempt: how often it was started.
        created, started, ended: moments; None where they have not come.
        labels: as given.
        needs: what a person is asked; None for nothing.
        exit_code, signal: of its process, once that has ended.
        outcome: what it came to: `done`, `awaiting_approval` or `error`; empty before its end, and where nothing ran.
        summary: its final words.
        output: the end of what it wrote.
        error: why it did not complete, as an error that can be raised; None for nothing.
        document: all the control API says of it.
    """

    id: str
    name: str
    broker: str
    agent: str
    task: str
    state: State
    reason: str
    attempt: int
    created: datetime
    started: datetime | None
    ended: datetime | None
    labels: Mapping[str, str] = field(hash=False)
    needs: Needs | None
    exit_code: int | None
    signal: int | None
    outcome: str
    summary: str
    output: str
    error: RelayError | None = field(compare=False)
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, spawn: Spawn) -> Self:
        """From the control API's document."""
        needs, result, error = spawn["needs"], spawn["result"], spawn["error"]
        return cls(
            id=spawn["id"],
            name=spawn["name"],
            broker=spawn["broker"]["name"],
            agent=spawn["agent"],
            task=spawn["task"],
            state=State(spawn["state"]),
            reason=spawn["reason"],
            attempt=spawn["attempt"],
            created=datetime.fromisoformat(spawn["created"]),
            started=_moment(spawn["started"]),
            ended=_moment(spawn["ended"]),
            labels=MappingProxyType(dict(spawn["labels"])),
            needs=Needs(needs["request"], needs["kind"], needs["text"]) if needs else None,
            exit_code=spawn["exit_code"],
            signal=spawn["signal"],
            outcome=result["outcome"] if result else "",
            summary=result["summary"] if result else "",
            output=result["output_tail"] if result else "",
            error=from_json(dict(error)) if error else None,
            document=MappingProxyType(dict(spawn)),
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in TERMINAL

    @property
    def needs_a_person(self) -> bool:
        """Whether it goes on only when a person has answered."""
        return self.state in NEEDS_A_PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Standing):
    """How a spawn ended, by the word of the broker that ran it."""

    @classmethod
    def of_end(cls, standing: Standing) -> Ended:
        """Of a spawn that was seen to have ended."""
        assert standing.has_ended
        return cls(**{each.name: getattr(standing, each.name) for each in fields(standing)})

    @property
    def ok(self) -> bool:
        """Whether it is completed, and what it was to do is done."""
        return self.state is State.COMPLETED and self.outcome == DONE

    @property
    def text(self) -> str:
        """What it came to, as text: the end of what a command wrote, the final words of an agent."""
        first, second = (self.output, self.summary) if self.agent in COMMANDS else (self.summary, self.output)
        return first or second

    def raise_for_state(self) -> Self:
        """This, if all is well.

        Raises:
            NotCompleted: it did not complete, or what it did waits for an approval.
        """
        if self.ok:
            return self
        who, error = f"{self.name} on {self.broker}", self.error
        if self.state is State.COMPLETED:
            raise NotCompleted(self, f"{who} waits for an approval", code=Code.AWAITS_APPROVAL, why=self.summary)
        why = ". ".join(filter(None, (error.message, error.why))) if error else self.reason
        code, hint = (error.code, error.hint) if error else (Code.TASK_LOST, "")
        raise NotCompleted(self, f"{who}: {self.state}", code=code, why=why, hint=hint or f"relay logs {self.id[:8]}")


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of what a spawn has written.

    Attributes:
        stream: `out` or `err`; `note` for a word of relay's own between two attempts; `gap` where output is missing.
        data: the bytes.
        at: when it was written; of a gap when that was known.
        next: the offset to go on from.
        missing: of a gap how many bytes; None where that is not known, and for what is none.
        reason: of a gap, why.
    """

    stream: str
    data: bytes
    at: datetime
    next: int
    missing: int | None = None
    reason: str = ""

    @classmethod
    def of(cls, line: LogLine) -> Self:
        """From the control API's document."""
        from base64 import b64decode

        raw = line.get("raw")
        data = line["data"].encode("utf-8", "surrogateescape") if raw is None else b64decode(raw)
        missing, reason = line.get("missing"), line.get("reason", "")
        return cls(line["stream"], data, datetime.fromisoformat(line["at"]), line["next"], missing, reason)

    @property
    def text(self) -> str:
        """The same as text; a letter that was cut by the end of a piece is replaced."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        seq: its number; `Mesh.events(since=seq)` goes on behind it.
        at: when; None for `reset`.
        kind: such as `spawn.state`; `reset` where events before this are no longer kept: look at everything anew.
        facts: what else it says, by kind.
    """

    seq: int
    at: datetime | None
    kind: str
    facts: Mapping[str, Any] = field(hash=False)

    @classmethod
    def of(cls, event: EventDocument) -> Self:
        """From the control API's document."""
        facts = {key: value for key, value in event.items() if key not in ("seq", "at", "kind")}
        return cls(event.get("seq", 0), _moment(event.get("at")), event["kind"], MappingProxyType(facts))


@dataclass(frozen=True, slots=True)
class Broker:
    """A member of the workspace, as the broker of this machine sees it.

    Attributes:
        id, name: its own.
        here: whether it is the one of this machine.
        online: whether it is linked; None where that is not known.
        agents: what it says it can run.
        may: what this machine may do there; None where it has not said.
        document: all the control API says of it.
    """

    id: str
    name: str
    here: bool
    online: bool | None
    agents: tuple[str, ...]
    may: tuple[str, ...] | None
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, broker: BrokerDocument) -> Self:
        """From the control API's document."""
        may, document = broker["grants"]["to_us"], MappingProxyType(dict(broker))
        granted = None if may is None else tuple(may)
        return cls(
            broker["id"], broker["name"], broker["self"], broker["online"], tuple(broker["agents"]), granted, document
        )


def order_of(**given: Any) -> SpawnOrder:
    """The body of a request of what is not None."""
    order: SpawnOrder = {key: value for key, value in given.items() if value is not None}  # type: ignore[assignment]
    return order


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

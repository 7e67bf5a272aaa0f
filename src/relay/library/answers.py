"""What was seen of calls of tools and runners: frozen values, each with the document that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from relay.core.errors import Code, RelayError, from_json
from relay.core.states import TERMINAL, State
from relay.library.seen import DONE, NotCompleted

if TYPE_CHECKING:
    from relay.api.tool_shapes import Tool as ToolDocument
    from relay.api.tool_shapes import ToolCall


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool or runner that can be called.

    Attributes:
        name: what it is called by.
        broker: the name of the broker that has it.
        here: whether that is the one of this machine.
        description: what it is for.
        schema: JSON Schema of its arguments.
        served: whether its program is there; None where only its broker knows.
        reason: why it is not served; empty where it is.
        document: all the control API says of it, its whole definition among it.
    """

    name: str
    broker: str
    here: bool
    description: str
    schema: Mapping[str, Any] = field(hash=False)
    served: bool | None
    reason: str
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, tool: ToolDocument) -> Self:
        """From the control API's document."""
        definition = tool["definition"]
        about, schema = str(definition.get("description") or ""), MappingProxyType(definition.get("inputSchema") or {})
        here, served, reason, document = tool["here"], tool["served"], tool["reason"], MappingProxyType(dict(tool))
        return cls(tool["name"], tool["broker"]["name"], here, about, schema, served, reason, document)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a runner says that it is: `done` of `of` (None where that is not known), in words."""

    done: float
    of: float | None
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """How a call stood when it was looked at.

    Attributes:
        id: the call's: `Mesh.ticket` finds it again.
        tool: what was called.
        broker: the name of the broker that runs it.
        state: where it stands, by the last word of that broker.
        reason: why it stands there; empty for no particular reason.
        spoken: how it stands, in a sentence for people.
        progress: how far its runner said that it is; None where it said nothing.
        outcome: what it came to: `done`, `awaiting_approval` or `error`; empty before its end, and where nothing ran.
        text: its result as text.
        data: its result as data; None where it has none.
        error: why it was not done, as an error that can be raised; None for nothing.
        document: all the control API says of it.
    """

    id: str
    tool: str
    broker: str
    state: State
    reason: str
    spoken: str
    progress: Progress | None
    outcome: str
    text: str
    data: Any = field(hash=False)
    error: RelayError | None = field(compare=False)
    document: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, call: ToolCall) -> Self:
        """From the control API's document."""
        progress, error, result = call["progress"], call["error"], call["result"] or {}
        return cls(
            id=call["id"],
            tool=call["tool"],
            broker=call["broker"]["name"],
            state=State(call["state"]),
            reason=call["reason"],
            spoken=call["spoken"],
            progress=Progress(progress["done"], progress["of"], progress["words"]) if progress else None,
            outcome=call["outcome"] or "",
            text=_text_of(result),
            data=result.get("structuredContent"),
            error=from_json(dict(error)) if error else None,
            document=MappingProxyType(dict(call)),
        )

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Called):
    """How a call ended, by the word of the broker that ran it."""

    @classmethod
    def of_end(cls, called: Called) -> Answer:
        """Of a call that was seen to have ended."""
        assert called.has_ended
        return cls(**{each.name: getattr(called, each.name) for each in fields(called)})

    @property
    def ok(self) -> bool:
        """Whether it is completed, and what it was to do is done."""
        return self.state is State.COMPLETED and self.outcome == DONE

    def raise_for_state(self) -> Self:
        """This, if all is well.

        Raises:
            NotCompleted: it did not complete, or what it did waits for an approval.
        """
        if self.ok:
            return self
        who, error = f"{self.tool} on {self.broker}", self.error
        if self.state is State.COMPLETED:
            raise NotCompleted(self, f"{who} waits for an approval", code=Code.AWAITS_APPROVAL, why=self.text)
        why = ". ".join(filter(None, (error.message, error.why))) if error else self.reason
        code, hint = (error.code, error.hint) if error else (Code.RUNNER_LOST, "")
        raise NotCompleted(self, f"{who}: {self.state}", code=code, why=why, hint=hint)


def _text_of(result: Mapping[str, Any]) -> str:
    parts = (each.get("text") for each in result.get("content") or () if isinstance(each, dict))
    return "\n".join(each for each in parts if isinstance(each, str))

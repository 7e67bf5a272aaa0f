"""The seam of an agent that asks: how its reader raises a question, and how the answer reaches it by stdin.

    output ─► reader.asked() ─► a question, durable ─► a person ─► agent.reply() ─► stdin, durable and once

An agent that never asks implements nothing of this. After a restart of the broker the output is read again from its
beginning, so that a reader raises the same questions again: they are told apart by the name the agent gave them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, TypeGuard

from relay.core.questions import Asked, Reply
from relay.core.values import frozen
from relay.core.wishes import Wishes
from relay.spawn.agents.agent import Agent, Reader


@frozen
class AgentQuestion:
    """What an agent wants to know.

    Attributes:
        name: what the agent calls it; no two of an attempt alike; at most 128 characters.
        kind: `permission` or `question`.
        text: for people.
        tool: what it wants to use, or None.
        input: with what, as JSON, or None.
        mode: for a permission: the mode that covers it; None where none does.
    """

    name: str
    kind: Asked
    text: str
    tool: str | None = None
    input: Any = None
    mode: str | None = None


class AskingReader(Protocol):
    """A reader whose agent asks."""

    def asked(self) -> list[AgentQuestion]:
        """What was asked in the output fed since the last call."""

    def withdrawn(self) -> list[str]:
        """The names of questions that the agent needs no answer to any more, since the last call."""


class AnswerableAgent(Protocol):
    """An agent that is answered, and spoken to, by its standard input in a form of its own."""

    def reply(self, question: AgentQuestion, verb: Reply, text: str) -> bytes:
        """The answer as it goes to standard input."""

    def message(self, text: str) -> bytes:
        """What a person says without being asked, as it goes to standard input."""


# by hand: `isinstance` of a protocol takes 60 microseconds, and each spawn and each key takes some. Of the object and
# not of its class: a reader borrows the methods of what keeps its questions
def is_answerable(agent: Agent | None) -> TypeGuard[AnswerableAgent]:
    """Whether an agent is answered by its standard input."""
    return hasattr(agent, "reply") and hasattr(agent, "message")


def asks(reader: Reader) -> TypeGuard[AskingReader]:
    """Whether the agent of a reader asks."""
    return hasattr(reader, "asked") and hasattr(reader, "withdrawn")


def is_driven(agent: Agent) -> bool:
    """Whether an agent asks before it acts, or has an interface of its own."""
    return is_answerable(agent) or hasattr(agent, "terminal")


def wishes_of(agent: Agent, wishes: Wishes) -> Wishes:
    """How a request is to be run by this agent: one that is answered by its input has it open, asked for or not."""
    return replace(wishes, stdin=True) if is_answerable(agent) else wishes

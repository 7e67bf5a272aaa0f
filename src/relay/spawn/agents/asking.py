"""The seam of an agent that asks: how its reader raises a question, and how the answer reaches it by stdin.

    output ─► reader.asked() ─► a question, durable ─► a person ─► agent.reply() ─► stdin, durable and once

An agent that never asks implements nothing of this. After a restart of the broker the output is read again from its
beginning, so that a reader raises the same questions again: they are told apart by the name the agent gave them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from relay.core.questions import Asked, Reply
from relay.core.wishes import Wishes
from relay.spawn.agents.agent import Agent


@dataclass(frozen=True, slots=True)
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


@runtime_checkable
class AskingReader(Protocol):
    """A reader whose agent asks."""

    def asked(self) -> list[AgentQuestion]:
        """What was asked in the output fed since the last call."""

    def withdrawn(self) -> list[str]:
        """The names of questions that the agent needs no answer to any more, since the last call."""


@runtime_checkable
class AnswerableAgent(Protocol):
    """An agent that is answered, and spoken to, by its standard input in a form of its own."""

    def reply(self, question: AgentQuestion, verb: Reply, text: str) -> bytes:
        """The answer as it goes to standard input."""

    def message(self, text: str) -> bytes:
        """What a person says without being asked, as it goes to standard input."""


def wishes_of(agent: Agent, wishes: Wishes) -> Wishes:
    """How a request is to be run by this agent: one that is answered by its input has it open, asked for or not."""
    return replace(wishes, stdin=True) if isinstance(agent, AnswerableAgent) else wishes

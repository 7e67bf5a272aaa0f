"""Agents that are spoken to in both directions: a conductor runs them, and a person's words reach it by its input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from relay.core.questions import Reply
from relay.spawn.agents.agent import Command
from relay.spawn.agents.asking import AgentQuestion
from relay.spawn.agents.streams import tables

_ENTRY = Path(__file__).parent / "conductor" / "serve.py"


def conducted(protocol: str, argv: list[str], task: str, **plan: Any) -> Command:
    """The command that runs an agent under its conductor.

    Args:
        protocol: which conversation; a module of `conductor`.
        argv: the agent's own command.
        task: its first words; they go by standard input, so that no text can become an option.
        plan: what else the conversation needs.
    """
    told = json.dumps({"argv": argv, "task": task, **plan})
    words = (sys.executable, "-I", "-S", str(_ENTRY), protocol)
    return Command(words, stdin=f"{told}\n", program=argv[0])


class Conducted:
    """How a conducted agent is answered, and spoken to."""

    def reply(self, question: AgentQuestion, verb: Reply, text: str) -> bytes:
        """The answer as it goes to standard input."""
        return _line({"answer": question.name, "verb": str(verb), "text": text})

    def message(self, text: str) -> bytes:
        """What a person says without being asked, as it goes to standard input."""
        return _line({"say": text})


def _line(word: dict[str, Any]) -> bytes:
    return json.dumps(word).encode() + b"\n"


class Questions:
    """What an agent has asked, and no longer needs to know, until somebody takes it."""

    def __init__(self) -> None:
        self._asked: list[AgentQuestion] = []
        self._withdrawn: list[str] = []

    def ask(self, question: AgentQuestion) -> None:
        """The agent asks."""
        self._asked.append(question)

    def withdraw(self, name: str) -> None:
        """The agent needs no answer any more."""
        self._withdrawn.append(name)

    def asked(self) -> list[AgentQuestion]:
        """What was asked since the last call."""
        taken, self._asked = self._asked, []
        return taken

    def withdrawn(self) -> list[str]:
        """The names of questions that need no answer any more, since the last call."""
        taken, self._withdrawn = self._withdrawn, []
        return taken


def spelled_choice(questions: list[dict[str, Any]]) -> str:
    """The questions of an agent that gives choices, for people: a line each."""
    lines = []
    for each in questions:
        labels = [str(one.get("label", "")) for one in tables(each.get("options"))]
        choice = f" ({', '.join(labels)})" if labels else ""
        lines.append(f"{each.get('question', '')}{choice}")
    return "\n".join(lines)

"""What agents share that run once, take their task by standard input, and are never answered."""

from __future__ import annotations

import re
from collections.abc import Mapping

from relay.core.spawning import SpawnRequest
from relay.spawn.agents.agent import Command, SessionPlace, checked_model, checked_session, required_task

# what these programs print of an error that their exit code keeps quiet about (measured: agents exit 0 on a bad key)
FAILURE = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)^(litellm\.|openai\.|anthropic\.)?\w*(AuthenticationError|RateLimitError|APIConnectionError|APIError)\b",
        r"(?i)^(Error|Fatal)\b.{0,20}:",
        r"(?i)\bAPI provider is not able to authenticate\b",
    )
)


def command_for(agent: str, argv: list[str], request: SpawnRequest, model: str | None = None) -> Command:
    """The command of an agent that reads its task from standard input.

    Args:
        agent: its name.
        argv: its words, all but the model's.
        request: what is asked for.
        model: the option for a model; None where the words have it already.
    """
    task = required_task(agent, request.task)
    if model is not None and request.model:
        argv = [*argv, model, checked_model(request.model)]
    return Command(tuple(argv), stdin=task)


def going_on(option: str, resume: str | None) -> list[str]:
    """The words that take up a session; none where none is to be."""
    return [] if resume is None else [option, checked_session(resume)]


def home_of(environment: Mapping[str, str], variable: str, folder: str) -> str:
    """The folder that a variable names, or this one in the user's home."""
    return environment.get(variable) or f"{environment.get('HOME', '')}/{folder}"


class Sessionless:
    """An agent whose sessions no file can be told of."""

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        """None: it keeps none, or not in a file of its own."""
        return None

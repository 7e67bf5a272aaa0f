"""The seam of an agent: what to run for a request, and how to read what it says."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from relay.core.errors import Code, Misuse
from relay.core.spawning import SpawnRequest
from relay.core.states import State

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class Command:
    """What the shim executes.

    Attributes:
        argv: the words; the first is looked up in the task's PATH.
        stdin: text for standard input, closed after it; None for /dev/null.
        environment: additions of the agent's own.
        stop_signal: how this program wants to be asked to stop.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGINT


@dataclass(frozen=True, slots=True)
class Finding:
    """What an agent's own output says about its end.

    Attributes:
        state: COMPLETED or FAILED.
        summary: the final words, for people.
        code, why, hint: why it failed and what to do; `{id}` in the hint stands for the spawn's id.
        usage: tokens, cost, turns as the agent reported them.
        session: the agent's session id, or None.
    """

    state: State
    summary: str = ""
    code: Code | None = None
    why: str = ""
    hint: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    session: str | None = None


class Reader(Protocol):
    """Reads one attempt's output as it comes."""

    def feed(self, stream: int, data: bytes) -> list[str]:
        """Take output (stream 0 out, 1 err) and return lines of progress for people."""

    def finding(self, exit_code: int) -> Finding:
        """What the output says, once the task has ended by itself with this exit code."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How to find out whether an agent's program is there, and whether somebody is logged in to it.

    Attributes:
        program: looked up in the task's PATH.
        version: words that make it print its version and do nothing else; none where no such words are known.
        login: words that make it tell whether it is logged in; none where no such words are known.
        login_since: the first version that knows those words; an older one might take them for a task.
        logged_in: reads what it printed; None where that does not say.
        log_in: the command that logs in.
        environment: what the agent's tasks get beside the others', PATH perhaps.
    """

    program: str
    version: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    login_since: tuple[int, ...] = ()
    logged_in: Callable[[str], bool | None] = lambda _: None
    log_in: str = ""
    environment: dict[str, str] = field(default_factory=dict)


class Agent(Protocol):
    """One named way to run a program."""

    @property
    def name(self) -> str:
        """What requests and grants call it."""

    def probe(self) -> Probe | None:
        """How to examine its program; None where every machine has it, or each request names its own."""

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        """What to run for this request.

        Args:
            request: what is asked for.
            attempt: which try, from 1.
            resume: the session of an earlier attempt to go on in; None for a new one.

        Raises:
            Misuse: the task, mode or model is nothing this agent can take.
        """

    def reader(self) -> Reader:
        """A fresh reader for one attempt."""


@runtime_checkable
class TerminalAgent(Protocol):
    """An agent with an interface of its own for a terminal."""

    def terminal(self, request: SpawnRequest, session: str) -> Command:
        """What opens that interface in a session that an earlier attempt had."""


def terminal_of(agent: Agent, request: SpawnRequest, session: str) -> Command:
    """What opens an agent's own interface in a session.

    Raises:
        Misuse: it has none.
    """
    if isinstance(agent, TerminalAgent):
        return agent.terminal(request, session)
    why = f"{agent.name} has no interface of its own for a terminal, or none that can go on in a session"
    hint = f'relay continue {request.id} "what to do now"'
    raise Misuse("it cannot be taken over", code=Code.NO_SESSION, why=why, hint=hint)


class PlainReader:
    """For programs whose exit code is all they say."""

    def feed(self, stream: int, data: bytes) -> list[str]:
        return []

    def finding(self, exit_code: int) -> Finding:
        if exit_code == 0:
            return Finding(State.COMPLETED)
        return Finding(
            State.FAILED,
            code=Code.EXIT_NONZERO,
            why=f"the task ended with exit code {exit_code}",
            hint="relay logs {id}",
        )


def refuse_resuming(agent: str, session: str | None) -> None:
    """For an agent that has no sessions.

    Raises:
        Misuse: it was to go on in one.
    """
    if session is not None:
        why = f"{agent} has no sessions"
        raise Misuse("it cannot go on where it was", code=Code.NO_SESSION, why=why, hint="relay retry {id}")


def checked_model(model: str) -> str:
    """The model's name, if it cannot be taken for an option or a shell word.

    Raises:
        Misuse: it could.
    """
    if _MODEL.match(model):
        return model
    raise Misuse(
        f"{model[:80]!r} cannot be a model's name",
        code=Code.BAD_NAME,
        why="it has 1 to 128 letters, digits and . _ : / @ + -, and starts with a letter or digit",
        hint="relay spawn --help",
    )

"""The seam of an agent: what to run for a request, and how to read what it says."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Protocol, runtime_checkable

from relay.core.errors import Code, Misuse
from relay.core.spawning import MAX_SUMMARY, SpawnRequest, is_json
from relay.core.states import State
from relay.core.values import frozen
from relay.core.wire import pack

MOST = 32 * 1024
"""Bytes of a finding, packed: a word has room for four times as much."""
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}\Z")


@frozen
class Command:
    """What the shim executes.

    Attributes:
        argv: the words; the first is looked up in the task's PATH.
        stdin: text for standard input, closed after it; None for /dev/null.
        environment: additions of the agent's own.
        stop_signal: how this program wants to be asked to stop.
        program: what has to be in the task's PATH where that is not the first word: a conductor runs it.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGINT
    program: str = ""


@frozen
class SessionPlace:
    """Where an agent keeps one conversation; patterns are those of `glob`, relative to the root.

    Attributes:
        root: a folder, absolute.
        main: matches the file that has the conversation.
        beside: match files that go with it.
    """

    root: str
    main: str
    beside: tuple[str, ...] = ()


@frozen
class Finding:
    """What an agent's own output says about its end.

    Attributes:
        state: COMPLETED or FAILED.
        summary: the final words, for people.
        code, why, hint: why it failed and what to do; `{id}` in the hint stands for the spawn's id.
        usage: tokens, cost, turns as the agent reported them.
        session: the agent's session id, or None.
        model: which model answered, or None.
        notes: what a person should know beside the end, such as tools that were missing.
        resets: milliseconds since 1970: when a usage limit that was reached is lifted; None where none was, or
            the agent did not say.
        waited_for: what it was waiting for last, such as its model; empty for nothing.
        awaits: it completed, and what it did waits for a person's approval.
    """

    state: State
    summary: str = ""
    code: Code | None = None
    why: str = ""
    hint: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    session: str | None = None
    model: str | None = None
    notes: tuple[str, ...] = ()
    resets: int | None = None
    waited_for: str = ""
    awaits: bool = False


def tellable(finding: Finding) -> Finding:
    """A finding, if it can be told: who hears of an end refuses a word in which another sort of value stands.

    Raises:
        TypeError: it has other values than those of its attributes.
        ValueError: more than 32 KiB of them, or half a letter.
    """
    texts = [finding.summary, finding.why, finding.hint, finding.waited_for, *finding.notes]
    texts += [each for each in (finding.session, finding.model) if each is not None]
    usage, resets = finding.usage, finding.resets
    are_its_kinds = all(type(each) is str for each in texts) and type(usage) is dict and is_json(usage)
    if not are_its_kinds or not (resets is None or type(resets) is int):
        raise TypeError("a finding of another form")
    if len(pack([*texts[1:], finding.summary[:MAX_SUMMARY], usage])) > MOST:
        raise ValueError("a finding that is too long")
    return finding


class Reader(Protocol):
    """Reads one attempt's output as it comes."""

    def feed(self, stream: int, data: bytes) -> list[str]:
        """Take output (stream 0 out, 1 err) and return lines of progress for people."""

    def finding(self, exit_code: int) -> Finding:
        """What the output says, once the task has ended by itself with this exit code."""


@frozen
class Probe:
    """How to find out whether an agent's program is there, and whether somebody is logged in to it.

    Attributes:
        program: looked up in the task's PATH.
        version: words that make it print its version and do nothing else; none where no such words are known.
        login: words that make it tell whether it is logged in; none where no such words are known.
        login_since: the first version that knows those words; an older one might take them for a task.
        told: what it is told by standard input, which stays open until it has answered; empty for /dev/null.
        has_answered: whether what it printed so far is its whole answer; what ends by itself need not say.
        logged_in: reads what it printed; None where that does not say.
        log_in: the command that logs in.
        beside: files in the directory of a task that may log it in as well; where one is there, or that directory is
            not known yet, nobody can say for certain that it is not.
        environment: what the agent's tasks get beside the others', PATH perhaps.
    """

    program: str
    version: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    login_since: tuple[int, ...] = ()
    told: str = ""
    has_answered: Callable[[str], bool] = lambda _: False
    logged_in: Callable[[str], bool | None] = lambda _: None
    log_in: str = ""
    beside: tuple[str, ...] = ()
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
            resume: the session of an earlier attempt to go on in, told the task; None for a new one.

        Raises:
            Misuse: the task, mode or model is nothing this agent can take, or it cannot go on with a session.
        """

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        """Where a session is kept; None where the agent keeps none, or none that can be told.

        Args:
            session: its id.
            cwd: where the agent ran, absolute and without links.
            environment: a task's.
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


def cannot(agent: str, what: str, why: str, hint: str) -> Misuse:
    """The refusal of what an agent's program has no way to do."""
    return Misuse(f"{agent} cannot {what}", code=Code.AGENT_CANNOT, why=why, hint=hint)


def no_resume(agent: str, resume: str | None) -> None:
    """Refuse to go on with a session.

    Raises:
        Misuse: `agent_cannot`, where one is named.
    """
    if resume is not None:
        why = "its program keeps no session that another run could take up"
        raise cannot(agent, "go on with a session", why, "spawn it anew, and say in the task what was done before")


def no_turns(agent: str, request: SpawnRequest) -> None:
    """Refuse a limit of turns.

    Raises:
        Misuse: `agent_cannot`, where one is wished for.
    """
    if request.wishes.max_turns is not None:
        raise cannot(agent, "be limited in turns", "its program has no such option", "use --timeout instead")


_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")


def checked_session(session: str) -> str:
    """The session's id, if it cannot be taken for an option or a path.

    Raises:
        Misuse: it could.
    """
    if _SESSION.match(session):
        return session
    raise Misuse(f"{session[:80]!r} cannot be a session's id", code=Code.BAD_NAME, hint="relay result ID   shows it")


def required_task(agent: str, task: str) -> str:
    """The task, if there is one.

    Raises:
        Misuse: `bad_task`: it is empty.
    """
    if task.strip():
        return task
    raise Misuse("the task is empty", code=Code.BAD_TASK, hint=f'relay spawn NAME {agent} "Fix the tests"')


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

"""What an attempt is to run, and how its output is read: its agent's command, its place, its session."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from relay.core.errors import Code, Misuse, RelayError
from relay.core.states import State
from relay.spawn.admission import Admission
from relay.spawn.agents.agent import Agent, Command, Finding, Reader, terminal_of
from relay.spawn.agents.asking import wishes_of
from relay.spawn.agents.registry import Agents, UnknownReader
from relay.spawn.attempting import Attempting, Plan
from relay.spawn.environment import on_terminal
from relay.spawn.limits import Limits
from relay.spawn.reading import LogReading
from relay.spawn.requests import request_of
from relay.spawn.retries import LIMIT
from relay.spawn.shim import processes
from relay.store import queueing
from relay.store.engine import Store
from relay.store.queueing import Onward
from relay.store.spawn_rows import SpawnRow

LIFTED = "The usage limit is lifted. Go on where you were with what you were asked:"
Make = Callable[[SpawnRow, Callable[[], bool]], Awaitable[None]]


def folder_name(spawn: str, attempt: int) -> str:
    """The attempt folder's name, which is also the mark in the task's environment."""
    return f"{spawn}-{attempt}"


def name_of(row: SpawnRow) -> str:
    """The folder name of the attempt that a spawn has come to."""
    return folder_name(row.id, row.attempt)


def begins_in(row: SpawnRow, admission: Admission) -> str | None:
    """The boot of this machine in which an attempt begins at once; None for one that may take long to prepare."""
    return None if admission.fresh or row.wishes.place else processes.boot_id()


class InTerminal:
    """Reads nothing: a person drives the agent in its own interface, and sees for themselves.

    What is left there is no word on the task: done is only what was done before.

    Args:
        onward: in which session that is, and how the attempt before it ended.
    """

    def __init__(self, onward: Onward) -> None:
        self._session, self._after = onward.session, onward.after

    def feed(self, stream: int, data: bytes) -> list[str]:
        return []

    def finding(self, exit_code: int) -> Finding:
        if exit_code == 0 and self._after is State.COMPLETED:
            return Finding(State.COMPLETED, "its interface was left", session=self._session)
        if exit_code == 0:
            why = "its interface was left, and nobody said that its task is done"
            hint = 'relay continue {id} "what is left to do"; or, if it is done: relay resolve {id} done'
            return Finding(State.FAILED, "", Code.AGENT_NO_RESULT, why, hint, session=self._session)
        why = f"its interface ended with exit code {exit_code}"
        return Finding(State.FAILED, "", Code.EXIT_NONZERO, why, "relay logs {id}", session=self._session)


class Planner:
    """Plans attempts.

    Args:
        store: how earlier attempts ended.
        agents: what can be run.
        limits: what tasks get.
        attempting: knows their folders.
        make: makes the place of one that has one.
    """

    def __init__(self, store: Store, agents: Agents, limits: Limits, attempting: Attempting, make: Make) -> None:
        self._store = store
        self._agents = agents
        self._limits = limits
        self._attempting = attempting
        self._make = make

    def log_of(self, spawn: str, attempt: int) -> Path:
        """The transcript of an attempt on this machine, there or not."""
        return self._attempting.folder(folder_name(spawn, attempt)).log

    async def plan(self, row: SpawnRow, admission: Admission) -> tuple[Plan, LogReading]:
        """What the attempt that a row has come to runs, and how it is read.

        Raises:
            RelayError: it cannot be run.
        """
        onward, agent, request = await self._onward(row), self._agents.get(row.agent), request_of(row)
        if onward is not None and onward.terminal:
            command = terminal_of(agent, request, onward.session)
            reader: Reader = InTerminal(onward)
            wishes = dataclasses.replace(row.wishes, tty=True)
        else:
            command = self._command(agent, row, onward, admission.directory)
            reader, wishes = agent.reader(), wishes_of(agent, row.wishes)
        additions = self._agents.additions(row.agent)
        environment = self._limits.environment(additions, row.id)
        plan = Plan(
            folder=name_of(row),
            command=command,
            environment=on_terminal(environment) if wishes.tty and "TERM" not in additions else environment,
            directory=Path(admission.directory),
            fresh=admission.fresh,
            make=partial(self._make, row) if row.wishes.place else None,
            timeout_s=self.timeout(row),
            log_limit=self._limits.log_limit,
            wishes=wishes,
            boot=begins_in(row, admission),
        )
        return plan, LogReading(self.log_of(row.id, row.attempt), reader)

    def _command(self, agent: Agent, row: SpawnRow, onward: Onward | None, directory: str) -> Command:
        request = request_of(row)
        if onward is None or onward.asked != LIMIT:
            return agent.command(request, row.attempt, None if onward is None else onward.session)
        environment = self._limits.environment(self._agents.additions(row.agent), row.id)
        place = agent.session_place(onward.session, os.path.realpath(directory), environment)
        if place is None or next(Path(place.root).glob(place.main), None) is not None:
            with contextlib.suppress(Misuse):
                lifted = dataclasses.replace(request, task=f"{LIFTED}\n\n{request.task}")
                return agent.command(lifted, row.attempt, onward.session)
        # nobody asked for that very session: where it cannot be gone on with, a new one does the task
        return agent.command(request, row.attempt)

    async def reading(self, row: SpawnRow) -> LogReading:
        """How the output of an attempt is read that an earlier run of this broker has begun."""
        return LogReading(self.log_of(row.id, row.attempt), await self._reader(row))

    def timeout(self, row: SpawnRow) -> float | None:
        """After how many awake seconds it is ended, or None."""
        return row.timeout_s if row.timeout_s is not None else self._limits.default_timeout_s

    async def _onward(self, row: SpawnRow) -> Onward | None:
        return await self._store.one(queueing.ONWARD, spawn=row.id) if row.attempt > 1 else None

    async def _reader(self, row: SpawnRow) -> Reader:
        onward = await self._onward(row)
        if onward is not None and onward.terminal:
            return InTerminal(onward)
        try:
            return self._agents.get(row.agent).reader()
        except RelayError:
            # agents.toml was changed meanwhile: nobody can read what it says, so nobody may call it a success
            return UnknownReader(row.agent)

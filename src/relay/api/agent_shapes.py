"""The JSON of `relay agents`, as types."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from relay.api.shapes import Named, SpawnTruth


class AgentTest(TypedDict):
    """How the last `relay agents test` of an agent ended there."""

    spawn: str
    at: str
    state: str
    reason: str


class OfferedAgent(TypedDict):
    """One agent; where the broker could not be asked, only its name is known, by the broker's record.

    Attributes:
        installed: whether a task there would find its program.
        logged_in: null where nobody can say, or nobody need be.
        log_in: the command that logs in, for the user of that machine.
        runner: whether it is a function that a program there offers.
        broken: whether agents.toml there keeps it from running; `note` has what is wrong.
    """

    name: str
    installed: bool
    path: str | None
    version: str | None
    logged_in: bool | None
    log_in: str | None
    note: str | None
    test: AgentTest | None
    runner: NotRequired[bool]
    broken: NotRequired[bool]


class NamedOrSelf(Named):
    """A broker, and whether it is this one."""

    self: bool


class BrokerAgents(TypedDict):
    """What one broker can run.

    Attributes:
        truth: whose word that is, and when it was said; null where it is what the broker's record says.
        why: why it did not say itself; null where it did.
    """

    broker: NamedOrSelf
    truth: SpawnTruth | None
    why: str | None
    agents: list[OfferedAgent]

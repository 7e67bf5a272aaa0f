"""What this machine has for a task that would start now: the program, its login, limits, a lock against sleep."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from relay.core.agent_facts import AgentFacts
from relay.core.errors import Code, Refused, RelayError
from relay.core.spawning import SpawnRequest
from relay.core.values import frozen
from relay.git.command import is_installed
from relay.spawn.agents.agent import Probe
from relay.spawn.agents.probing import Found, Sight, found
from relay.spawn.agents.registry import Agents
from relay.spawn.limits import Limits
from relay.spawn.shim import awake, confining

KEPT_S, NO_LOGIN_KEPT_S = 30.0, 1.0
"""How long what was found of an agent is told again: finding it out starts programs, and a missing login is mended."""


@frozen
class Look:
    """One look at an agent.

    Attributes:
        began: on the monotonic clock.
        probe: how it was looked at, with the environment that its tasks had then.
        found: what there is.
        before: the one before it that has ended, or None.
    """

    began: float
    probe: Probe | None
    found: asyncio.Future[Found]
    before: Look | None = None

    def ended(self) -> Look | None:
        """This one, or the one before it where this one still goes on."""
        return replace(self, before=None) if self.found.done() else self.before

    def says(self) -> Found | None:
        """What was found; None where it is not known yet, or could not be found out."""
        done = self.found.done() and not self.found.cancelled() and self.found.exception() is None
        return self.found.result() if done else None

    def is_kept(self, now: float) -> bool:
        """Whether it is told again."""
        if not self.found.done():
            return True
        found = self.says()
        return found is not None and now - self.began < (NO_LOGIN_KEPT_S if found.logged_in is False else KEPT_S)


class Means:
    """Looks at this machine as its tasks would find it.

    Args:
        agents: what can be run.
        limits: makes a task's environment.
        seen: what a task of this broker's service finds.
    """

    def __init__(self, agents: Agents, limits: Limits, seen: Callable[[], Sight]) -> None:
        self._agents = agents
        self._limits = limits
        self._seen = seen
        self._looks: dict[str, Look] = {}
        self._is_closed = False

    def close(self) -> None:
        """Look no further: programs that are asked something are ended."""
        self._is_closed = True

    async def agent(self, request: SpawnRequest, directory: str) -> dict[str, Any]:
        """Where the program is, its version, and whether somebody is logged in to it.

        Args:
            request: names the agent, and for `exec` the program.
            directory: where it would run.
        """
        found = await (self._program(request, directory) if request.agent == "exec" else self._known(request.agent))
        content = _facts(request.agent, found).to_content()
        del content["tested"]
        return content

    async def all(self) -> list[AgentFacts]:
        """Every agent that is known here, as a task that starts now would find it, by name."""
        names = self._agents.names()
        looks = await asyncio.gather(*(self._known(name) for name in names), return_exceptions=True)
        found = [
            self._told(name, look)
            for name, look in zip(names, looks, strict=True)
        ]
        return [replace(each, runner=self._agents.is_runner(each.name)) for each in found]

    def _told(self, name: str, look: Found | BaseException) -> AgentFacts:
        told = _facts(name, look) if isinstance(look, Found) else AgentFacts(name, None, note=str(look)[:500])
        if (fault := self._agents.fault_of(name)) is None:
            return told
        return replace(told, note=_clean(f"{fault.message}: {fault.why}")[:500], broken=True)

    async def _program(self, request: SpawnRequest, directory: str) -> Found:
        path = self.environment.get("PATH", os.defpath)
        return Found(await asyncio.to_thread(program_in, request.argv[0], path, directory))

    async def _known(self, name: str) -> Found:
        look = self.last(name)
        if look is None or not look.is_kept(time.monotonic()):
            look = self.look(name)
        # the look is everybody's: one that stops waiting does not end it
        return await asyncio.shield(look.found)

    def last(self, name: str) -> Look | None:
        """The latest look at an agent as it is now; None where there was none yet.

        Raises:
            RelayError: there is no agent of that name, or agents.toml is broken.
        """
        look = self._looks.get(name)
        return look if look is not None and look.probe == self.probe(name) else None

    def probe(self, name: str) -> Probe | None:
        """How an agent is examined now; as `last`."""
        self._agents.get(name)  # there is one of that name
        return self._agents.probe(name)

    def look(self, name: str) -> Look:
        """Look at an agent anew, whatever was found before; as `last`."""
        probe, before = self.probe(name), self.last(name)
        finding = asyncio.ensure_future(asyncio.to_thread(self._found, probe))
        look = Look(time.monotonic(), probe, finding, None if before is None else before.ended())
        self._looks[name] = look
        return look

    def _found(self, probe: Probe | None) -> Found:
        return found(probe, self.environment, self._seen(), lambda: self._is_closed)

    @property
    def environment(self) -> Mapping[str, str]:
        """A task's, as it would be now."""
        return self._limits.environment({}, "")

    def timeout_s(self, request: SpawnRequest) -> float | None:
        """After how many seconds it would be ended, or None."""
        return request.timeout_s if request.timeout_s is not None else self._limits.default_timeout_s

    def limits(self, request: SpawnRequest) -> dict[str, Any]:
        """Whether limits of memory and processors can be kept here."""
        runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
        why = confining.fault_in(dict(self.environment), runtime) or ""
        asked = request.wishes.memory is not None or request.wishes.cpus is not None
        return {"asked": asked, "possible": not why, "why": why[:200]}

    def keep_awake(self, request: SpawnRequest) -> dict[str, Any]:
        """Whether this machine can be kept from sleeping."""
        possible = awake.can_hold(self.environment.get("PATH", os.defpath))
        return {"asked": request.wishes.keep_awake, "possible": possible, "why": "" if possible else awake.NO_PROGRAM}


def _facts(name: str, found: Found) -> AgentFacts:
    path = None if found.path is None else _clean(found.path)
    return AgentFacts(name, path, found.version, found.logged_in, found.log_in[:256], _clean(found.note)[:500])


def program_in(name: str, path: str, directory: str) -> str | None:
    """The file that a task's first word means, as execvp(3) has it; None where there is none that can be run."""
    places = [name] if "/" in name else [f"{folder}/{name}" for folder in path.split(":") if folder]
    files = (os.path.join(directory, place) for place in places)
    return next((file for file in files if os.path.isfile(file) and os.access(file, os.X_OK)), None)


def why_it_would_fail(facts: Mapping[str, Any], request: SpawnRequest) -> RelayError | None:
    """Why a spawn would fail at its start, by what the machine has; None where nothing is known against it."""
    agent, limits = facts["agent"], facts["limits"]
    if agent["path"] is None:
        program = request.argv[0] if request.agent == "exec" else request.agent
        return Refused(
            f"{program[:120]} is not installed there, or not in the PATH of that broker's tasks",
            code=Code.MISSING_BINARY,
            hint="install it there, or add its folder to PATH where that broker is started",
        )
    if request.wishes.place is not None and not is_installed():
        why, hint = "it brings a repository or a tree along", "install git there, and start that broker anew"
        return Refused("git is not installed there", code=Code.NO_GIT, why=why, hint=hint)
    if limits["asked"] and not limits["possible"]:
        return Refused(
            "its limits cannot be kept there",
            code=Code.NO_LIMITS,
            why=limits["why"],
            hint="spawn it without --memory and --cpus, or on a machine whose user has a systemd",
        )
    return None


def _clean(path: str) -> str:
    return path.encode("utf-8", "replace").decode()[:4000]

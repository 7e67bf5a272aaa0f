"""Which agents this broker knows: the presets, what other packages bring, and what `agents.toml` adds.

A package brings agents by the entry point group `relay.agents`: each entry is an `Agent`, or a callable that makes one.
In `agents.toml` a section with a command is an agent (`templates.py`); one without adds to the environment of an agent
that is known already, and `[environment]` to that of all.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from relay.core.errors import Code, LocalFault, Refused, RelayError
from relay.core.ids import is_name
from relay.core.states import State
from relay.core.toml_faults import line_of_fault, why_of_fault
from relay.core.values import frozen
from relay.spawn.agents.agent import Agent, Finding, Probe
from relay.spawn.agents.aider import Aider
from relay.spawn.agents.asking import is_driven
from relay.spawn.agents.claude import Claude
from relay.spawn.agents.codex import Codex
from relay.spawn.agents.commands import Exec, Python, Shell
from relay.spawn.agents.gemini import Gemini
from relay.spawn.agents.goose import Goose
from relay.spawn.agents.llm import Llm, groq
from relay.spawn.agents.opencode import Opencode
from relay.spawn.agents.templates import Section, Template, fault, is_environment, template
from relay.spawn.environment import is_forbidden, task_environment
from relay.trust.grantfile import line_of
from relay.trust.keyfile import read_private

__all__ = ["Agents", "AgentsFile", "Template", "UnknownReader", "load_templates"]

MAX_FILE = 256 * 1024
LOOK_AGAIN_S = 30.0  # for programs: a look is a few file lookups each
GROUP = "relay.agents"
FIXED = ("shell", "exec", "python")
PRESETS: tuple[Callable[[], Agent], ...] = (
    Shell, Exec, Python, Claude, Codex, Gemini, Opencode, Aider, Goose, Llm, groq
)
_ADDITIONS = {"environment", "env"}
_HEAD = re.compile(r"\[\s*agents\s*\.\s*([a-z0-9_-]+)\s*(?:[].#]|\Z)")
_log = logging.getLogger(__name__)


@frozen
class UnknownReader:
    """For an attempt whose agent is no longer defined: nobody can read its output, so nobody may call it a success."""

    agent: str

    def feed(self, stream: int, data: bytes) -> list[str]:
        return []

    def finding(self, exit_code: int) -> Finding:
        return Finding(
            State.FAILED,
            code=Code.UNKNOWN_AGENT,
            why=f"it ended with exit code {exit_code}, but the agent {self.agent} is no longer defined here",
            hint="relay logs {id}",
        )


@frozen
class AgentsFile:
    """What `agents.toml` says.

    Attributes:
        agents: those that it defines.
        environment: what every agent's tasks get.
        additions: what the tasks of an agent that is known already get beside that, by its name.
        inherited: names of the broker's own variables that they inherit, by the agent's name.
        faults: what is wrong with a section, by the agent's name.
    """

    agents: dict[str, Agent] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    additions: dict[str, dict[str, str]] = field(default_factory=dict)
    inherited: dict[str, tuple[str, ...]] = field(default_factory=dict)
    faults: dict[str, LocalFault] = field(default_factory=dict)


def load_templates(path: Path, known: frozenset[str] = frozenset()) -> AgentsFile:
    """What `agents.toml` says; nothing where there is no file. What is wrong with one section is a fault of that agent.

    Args:
        path: the file.
        known: agents that are known without it.

    Raises:
        LocalFault: `bad_agents_file`, with the place: whose agents it would concern cannot be told.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        wrong = fault(path, why_of_fault(error), line_of_fault(text, error))
        if not (names := _headed(text)):
            raise wrong from None
        return AgentsFile(faults=dict.fromkeys(names, wrong))
    tables, environment = document.get("agents", {}), document.get("environment", {})
    if foreign := [*(set(document) - {"agents", "environment"}), *(() if isinstance(tables, dict) else ["agents"])]:
        why = "it has to hold sections [agents.NAME], perhaps one [environment], and nothing else"
        raise fault(path, why, line_of(text, foreign[0]))
    if not is_environment(environment):
        raise _bad_environment(Section(path, text, ("environment",)), environment)
    found = AgentsFile(environment=environment)
    for name, table in tables.items():
        section = Section(path, text, ("agents", name))
        try:
            _take(found, section, name, table, known)
        except LocalFault as wrong:
            if not is_name(name):
                raise
            found.faults[name] = wrong
    return found


def _take(found: AgentsFile, section: Section, name: str, table: Any, known: frozenset[str]) -> None:
    """Put in what a section says of an agent."""
    if isinstance(table, dict) and name in known and "command" not in table:
        found.additions[name], found.inherited[name] = _additions(section, table)
    elif name in FIXED:
        why = f"{name} has a meaning of its own: it runs what the request brings; give this one another name"
        raise section.fault(why)
    else:
        found.agents[name] = template(section, name, table)


def _text(path: Path) -> str:
    """What stands in it; nothing where it is not there."""
    try:
        data = read_private(path, Code.BAD_AGENTS_FILE, forbidden=0, by_us=True)
    except FileNotFoundError:
        return ""
    if len(data) > MAX_FILE:
        raise fault(path, f"it is longer than {MAX_FILE} bytes")
    try:
        return data.decode("utf-8")
    except ValueError as error:
        raise fault(path, why_of_fault(error), line_of_fault(data.decode("utf-8", "replace"), error)) from None


def _headed(text: str) -> set[str]:
    """The agents that a file which is no TOML has sections of; none where it may say something of others as well."""
    lines = [line.strip() for line in text.splitlines()]
    heads = [line for line in lines if line.startswith("[")]
    found = [match[1] for line in heads if (match := _HEAD.match(line))]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return set(found) if len(found) == len(heads) and first.startswith("[") else set()


def _additions(section: Section, table: dict[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    if unknown := sorted(set(table) - _ADDITIONS):
        why = f"{unknown[0]!r} needs a command; without one it may have environment and env"
        raise section.fault(why, unknown[0])
    environment, inherited = table.get("environment", {}), table.get("env", [])
    if not is_environment(environment):
        raise _bad_environment(section, environment, "environment")
    if not isinstance(inherited, list) or not all(isinstance(each, str) and each for each in inherited):
        raise section.fault("env has to be a list of names of variables", "env")
    return environment, tuple(inherited)


def _bad_environment(section: Section, environment: object, *keys: str) -> LocalFault:
    """The fault of what has to be a table of texts, at the entry that is none."""
    wrong = [each for each, value in environment.items() if not is_environment({each: value})] if isinstance(
        environment, dict
    ) else []
    what = ".".join((*keys, *wrong[:1])) or "it"
    return section.fault(f"{what} has to be {'a text' if wrong else 'a table of texts'}", *keys, *wrong[:1])


@cache
def _entries() -> tuple[EntryPoint, ...]:
    """What the packages of this environment bring: each is opened for it, so once a process."""
    return tuple(entry_points(group=GROUP))


def brought() -> dict[str, Agent]:
    """The agents of other packages; one that cannot be loaded is logged and left out."""
    found = {}
    for each in _entries():
        agent = _loaded(each)
        if agent is not None and is_name(agent.name) and agent.name not in FIXED:
            found[agent.name] = agent
    return found


def _loaded(entry: EntryPoint) -> Agent | None:
    try:
        made = entry.load()
        agent: Agent = made if hasattr(made, "command") and not isinstance(made, type) else made()
        return agent if isinstance(agent.name, str) else None
    except Exception:  # whatever another package does at its import must not keep this broker from starting
        _log.exception("the agent %s of %s cannot be loaded", entry.name, entry.value)
        return None


class Agents:
    """The agents of one broker. `agents.toml` is read again when it changes.

    Args:
        path: agents.toml.
        allowed: `env` of config.toml: what tasks inherit beside the basic variables.

    Attributes:
        runners: those that programs of this machine offer now, by name; an agent of the same name goes before.
    """

    def __init__(self, path: Path, allowed: tuple[str, ...] = ()) -> None:
        self._path = path
        self._allowed = allowed
        self._looked: tuple[object, float, list[str]] = (None, 0.0, [])
        presets = (make() for make in PRESETS)
        self._presets: dict[str, Agent] = brought() | {each.name: each for each in presets}
        self._stamp: tuple[int, ...] | None = (0, 0)
        self._file = AgentsFile()
        self._broken: LocalFault | None = None
        self.runners: Mapping[str, Agent] = {}

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            stamp: tuple[int, ...] | None = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp == self._stamp:
            return
        try:
            self._file, self._broken = load_templates(self._path, frozenset(self._presets)), None
            self._stamp = stamp
        except LocalFault as fault:
            self._broken, self._stamp = fault, (0, 0)

    def fault(self) -> LocalFault | None:
        """What is wrong with `agents.toml`, or None."""
        self._refresh()
        return self._broken or next(iter(self._file.faults.values()), None)

    def fault_of(self, name: str) -> LocalFault | None:
        """What is wrong with what `agents.toml` says of an agent, or None; `shell` and the like run all the same."""
        self._refresh()
        return self._file.faults.get(name) if self._broken is None or name in FIXED else self._broken

    def is_preset(self, name: str) -> bool:
        """Whether this name stands for one of relay's own agents, and `agents.toml` does not replace it."""
        return name in self._presets and name not in self._file.agents and name not in self._file.faults

    def is_runner(self, name: str) -> bool:
        """Whether this name stands for a runner: a grant has to name it."""
        return name in self.runners and name not in self._presets and name not in self._file.agents

    def is_asked(self, name: str) -> bool:
        """Whether this agent asks before it acts, or has an interface of its own; so where nobody can say."""
        try:
            agent = self.get(name)
        except RelayError:
            return True
        return is_driven(agent)

    def names(self) -> list[str]:
        """All names, sorted; without those of `agents.toml` where it is broken as a whole."""
        self._refresh()
        own = () if self._broken else (*self._file.agents, *self._file.faults)
        return sorted({*self._presets, *self.runners, *own})

    def installed(self) -> list[str]:
        """Those of the names whose program a task would find on this machine, sorted; `shell` and `exec` always.

        Runners are not among them: not everybody is told of those. No process is started. Looked up anew when PATH or
        `agents.toml` has changed, and every 30 s.
        """
        names = [name for name in self.names() if not self.is_runner(name)]
        key, now = (os.environ.get("PATH"), tuple(names), self._stamp), time.monotonic()
        known, at, found = self._looked
        if known != key or now - at >= LOOK_AGAIN_S:
            found = [name for name in names if self._is_installed(name)]
            self._looked = key, now, found
        return list(found)

    def _is_installed(self, name: str) -> bool:
        if name in self._file.faults:
            return False
        probe = self.probe(name)
        if probe is None:
            return True
        environment = task_environment(os.environ, self._allowed, probe.environment, "")
        return shutil.which(probe.program, path=environment["PATH"]) is not None

    def probe(self, name: str) -> Probe | None:
        """How to examine an agent's program, in the environment that its tasks get."""
        probe = (self._presets[name] if name in FIXED else self._known(name)).probe()
        return None if probe is None else replace(probe, environment=self.additions(name) | probe.environment)

    def additions(self, name: str) -> dict[str, str]:
        """What tasks of an agent get beside what every task inherits; the later of these counts.

        Those of the broker's variables that `env` of its section names, `[environment]`, `environment` of its section.
        """
        self._refresh()  # `shell` and `exec` are known without a look into the file
        inherited = {
            each: os.environ[each]
            for each in self._file.inherited.get(name, ())
            if each in os.environ and not is_forbidden(each)
        }
        return inherited | self._file.environment | self._file.additions.get(name, {})

    def _known(self, name: str) -> Agent:
        return self._file.agents.get(name) or self._presets.get(name) or self.runners[name]

    def get(self, name: str) -> Agent:
        """The agent of this name; a template of a preset's name replaces it, except those that take commands.

        Raises:
            Refused: `unknown_agent`.
            LocalFault: `bad_agents_file`.
        """
        if name in FIXED:
            return self._presets[name]
        if (fault := self.fault_of(name)) is not None:
            raise fault
        found = self._file.agents.get(name) or self._presets.get(name) or self.runners.get(name)
        if found is None:
            raise Refused(
                f"there is no agent named {name}",
                code=Code.UNKNOWN_AGENT,
                why=f"this broker knows {', '.join(self.names())}",
                hint=self._for_unknown(name),
            )
        return found

    def _for_unknown(self, name: str) -> str:
        near = get_close_matches(name, self.names(), 1)
        meant = f"{near[0]}, if that was meant; else " if near else ""
        return f"{meant}define it in {self._path}, section [agents.{name}], on the machine that is to run it"

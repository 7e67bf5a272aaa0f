"""Which agents this broker knows: the presets and what `agents.toml` adds.

    [agents.reviewer]
    command = ["my-reviewer", "--model", "{model}", "--", "{task}"]
    stop = "TERM"            # INT (default), TERM or KILL
    environment = { REVIEW = "strict" }

Without a `{task}` word the task goes by standard input. A word with `{model}` is left out, with the one
before it, when no model was asked for.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.core import ids
from relay.core.errors import Code, LocalFault, Misuse, Refused
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.core.toml_faults import line_of_fault, why_of_fault
from relay.spawn.agents.agent import Agent, Command, Finding, PlainReader, Probe, Reader, checked_model, refuse_resuming
from relay.spawn.agents.claude import Claude
from relay.spawn.agents.commands import Exec, Shell
from relay.spawn.environment import task_environment
from relay.trust.keyfile import read_private

MAX_FILE = 256 * 1024
LOOK_AGAIN_S = 30.0  # for programs: a look is a few file lookups each
_STOPS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
_MARK = re.compile(r"\{(task|mode|model)\}")
_KEYS = {"command", "stop", "environment"}


@dataclass(frozen=True, slots=True)
class Template:
    """An agent from `agents.toml`: its words with `{task}`, `{model}` and `{mode}` put in."""

    name: str
    words: tuple[str, ...]
    stop_signal: int = signal.SIGINT
    environment: dict[str, str] = field(default_factory=dict)

    def probe(self) -> Probe | None:
        return Probe(self.words[0], environment=self.environment)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        refuse_resuming(self.name, resume)
        by_argument = any("{task}" in word for word in self.words)
        if by_argument:
            self._check_task(request.task)
        return Command(
            tuple(self._filled(request)),
            stdin=None if by_argument else request.task,
            environment=self.environment,
            stop_signal=self.stop_signal,
        )

    def _check_task(self, task: str) -> None:
        before = self.words[: next(at for at, word in enumerate(self.words) if "{task}" in word)]
        if task.startswith("-") and "--" not in before:
            raise Misuse(
                "the task starts with '-'",
                code=Code.BAD_TASK,
                why=f"the agent {self.name} takes its task as a word, and would read this one as an option",
                hint=f"put \"--\" before \"{{task}}\" in agents.toml, section agents.{self.name}",
            )

    def _filled(self, request: SpawnRequest) -> list[str]:
        filled: list[str] = []
        for word in self.words:
            if "{model}" in word and not request.model:
                filled = filled[:-1] if word == "{model}" and filled else filled
                continue
            model = checked_model(request.model) if "{model}" in word and request.model else ""
            filled.append(_put_in(word, {"task": request.task, "mode": request.mode, "model": model}))
        return filled

    def reader(self) -> Reader:
        return PlainReader()


@dataclass(frozen=True, slots=True)
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


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _is_variable(item: tuple[str, object]) -> bool:
    name, value = item
    return _is_word(name) and "=" not in name and isinstance(value, str) and "\0" not in value


def _put_in(word: str, values: dict[str, str]) -> str:
    # one pass: a mark that stands in the task's own text stays as it is
    return _MARK.sub(lambda mark: values[mark[1]], word)


def _fault(path: Path, why: str) -> LocalFault:
    return LocalFault(f"{path.name} cannot be used", code=Code.BAD_AGENTS_FILE, why=why, hint=f"mend {path}")


def _template(path: Path, name: str, table: Any) -> Template:
    where = f"in section agents.{name}"
    if not ids.is_name(name) or not isinstance(table, dict):
        raise _fault(path, f"{where}: not a table, or not a name")
    if unknown := set(table) - _KEYS:
        raise _fault(path, f"{where}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(_KEYS))}")
    command, stop, environment = table.get("command"), table.get("stop", "INT"), table.get("environment", {})
    if not isinstance(command, list) or not command or not all(map(_is_word, command)):
        raise _fault(path, f"{where}: command has to be a list of words")
    if _MARK.search(command[0]):
        raise _fault(path, f"{where}: command has to begin with a program: no request may choose it")
    if not isinstance(stop, str) or stop not in _STOPS:
        raise _fault(path, f"{where}: stop has to be INT, TERM or KILL")
    if not isinstance(environment, dict) or not all(map(_is_variable, environment.items())):
        raise _fault(path, f"{where}: environment has to be a table of texts")
    return Template(name, tuple(command), _STOPS[stop], environment)


def load_templates(path: Path) -> dict[str, Agent]:
    """The agents that `agents.toml` defines; none where there is no file.

    Raises:
        LocalFault: `bad_agents_file`, with the place.
    """
    try:
        data = read_private(path, Code.BAD_AGENTS_FILE, forbidden=0)
    except FileNotFoundError:
        return {}
    if len(data) > MAX_FILE:
        raise _fault(path, f"it is longer than {MAX_FILE} bytes")
    text = data.decode("utf-8", "replace")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"line {line_of_fault(text, error)}: {why_of_fault(error)}") from None
    tables = document.get("agents", {})
    if not isinstance(tables, dict) or set(document) - {"agents"}:
        raise _fault(path, "it has to hold sections [agents.NAME] and nothing else")
    return {name: _template(path, name, table) for name, table in tables.items()}


class Agents:
    """The agents of one broker. `agents.toml` is read again when it changes.

    Args:
        path: agents.toml.
        allowed: `env` of config.toml: what tasks inherit beside the basic variables.
    """

    def __init__(self, path: Path, allowed: tuple[str, ...] = ()) -> None:
        self._path = path
        self._allowed = allowed
        self._looked: tuple[object, float, list[str]] = (None, 0.0, [])
        self._presets: dict[str, Agent] = {each.name: each for each in (Shell(), Exec(), Claude())}
        self._stamp: tuple[int, int] | None = (0, 0)
        self._templates: dict[str, Agent] = {}

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
            stamp: tuple[int, int] | None = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp != self._stamp:
            self._templates = load_templates(self._path)
            self._stamp = stamp

    def fault(self) -> LocalFault | None:
        """What is wrong with `agents.toml`, or None."""
        try:
            self._refresh()
        except LocalFault as fault:
            return fault
        return None

    def is_preset(self, name: str) -> bool:
        """Whether this name stands for one of relay's own agents, and `agents.toml` does not replace it."""
        return name in self._presets and name not in self._templates

    def names(self) -> list[str]:
        """All names, sorted; the presets alone where `agents.toml` is broken."""
        try:
            self._refresh()
        except LocalFault:
            return sorted(self._presets)
        return sorted({*self._presets, *self._templates})

    def installed(self) -> list[str]:
        """Those of the names whose program a task would find on this machine, sorted; `shell` and `exec` always.

        No process is started. Looked up anew when PATH or `agents.toml` has changed, and every 30 s.
        """
        names = self.names()
        key, now = (os.environ.get("PATH"), tuple(names), self._stamp), time.monotonic()
        known, at, found = self._looked
        if known != key or now - at >= LOOK_AGAIN_S:
            found = [name for name in names if self._is_installed(name)]
            self._looked = key, now, found
        return list(found)

    def _is_installed(self, name: str) -> bool:
        probe = (self._presets[name] if name in ("shell", "exec") else self._known(name)).probe()
        if probe is None:
            return True
        environment = task_environment(os.environ, self._allowed, probe.environment, "")
        return shutil.which(probe.program, path=environment["PATH"]) is not None

    def _known(self, name: str) -> Agent:
        return self._templates.get(name) or self._presets[name]

    def get(self, name: str) -> Agent:
        """The agent of this name; a template of a preset's name replaces it, except `shell` and `exec`.

        Raises:
            Refused: `unknown_agent`.
            LocalFault: `bad_agents_file`.
        """
        if name in ("shell", "exec"):
            return self._presets[name]
        self._refresh()
        found = self._templates.get(name) or self._presets.get(name)
        if found is None:
            raise Refused(
                f"there is no agent named {name}",
                code=Code.UNKNOWN_AGENT,
                why=f"this broker knows {', '.join(self.names())}",
                hint=f"define it in {self._path}, section [agents.{name}], on the machine that is to run it",
            )
        return found

"""The agents that `agents.toml` defines.

    [agents.reviewer]
    command = ["my-reviewer", "{mode}", "--model", "{model}", "--", "{task}"]
    resume = ["my-reviewer", "{mode}", "--session", "{session}", "--", "{task}"]
    modes = { plan = ["--dry-run"], edit = [], full = ["--yes"] }
    stop = "TERM"            # INT (default), TERM or KILL
    environment = { REVIEW = "strict" }
    stream = "jsonl"         # plain (default), jsonl, claude, codex
    success = { type = "result", ok = true }
    failure = ["^error:"]    # of plain: a line with one of these patterns means that it failed
    session = "session_id"
    summary = "text"
    version = ["--version"]

Without a `{task}` word the task goes by standard input. A word with `{model}` is left out, with the one before it, when
no model was asked for. Where there are `modes`, a word `{mode}` becomes those of the mode that was asked for.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from relay.core import ids
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.spawning import MODES, SpawnRequest
from relay.core.values import frozen
from relay.spawn.agents.agent import (
    Command,
    PlainReader,
    Probe,
    Reader,
    SessionPlace,
    cannot,
    checked_model,
    checked_session,
    no_resume,
    no_turns,
)
from relay.spawn.agents.claude import StreamReader
from relay.spawn.agents.codex_exec import ExecReader
from relay.spawn.agents.rules import ObjectReader, Rule, TextReader
from relay.trust.grantfile import line_of

STREAMS = ("plain", "jsonl", "claude", "codex")
STOPS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}
MARKS = ("task", "mode", "model", "session")
_MARK = re.compile(rf"\{{({'|'.join(MARKS)})\}}")
_BRACED = re.compile(r"\{([A-Za-z_]+)\}")
_MEANT = {"prompt": "task", "message": "task", "session_id": "session", **dict(zip(MARKS, MARKS, strict=True))}
_KNOWN_MARKS = ", ".join(f"{{{each}}}" for each in MARKS)
_MAX_PATTERN = 500


@frozen
class Template:
    """An agent from `agents.toml`: its words with `{task}`, `{model}`, `{mode}` and `{session}` put in."""

    name: str
    words: tuple[str, ...]
    stop_signal: int = signal.SIGINT
    environment: dict[str, str] = field(default_factory=dict)
    resume: tuple[str, ...] = ()
    modes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stream: str = "plain"
    rule: Rule = field(default_factory=Rule)
    version: tuple[str, ...] = ()

    def probe(self) -> Probe | None:
        return Probe(self.words[0], self.version, environment=self.environment)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_turns(self.name, request)
        if not self.resume:
            no_resume(self.name, resume)
        words = self.words if resume is None else self.resume
        by_argument = any("{task}" in word for word in words)
        if by_argument:
            self._check_task(words, request.task)
        return Command(
            tuple(self._filled(words, request, "" if resume is None else checked_session(resume))),
            stdin=None if by_argument else request.task,
            environment=self.environment,
            stop_signal=self.stop_signal,
        )

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return None

    def _check_task(self, words: tuple[str, ...], task: str) -> None:
        before = words[: next(at for at, word in enumerate(words) if "{task}" in word)]
        if task.startswith("-") and "--" not in before:
            raise Misuse(
                "the task starts with '-'",
                code=Code.BAD_TASK,
                why=f"the agent {self.name} takes its task as a word, and would read this one as an option",
                hint=f"put \"--\" before \"{{task}}\" in agents.toml, section agents.{self.name}",
            )

    def _filled(self, words: tuple[str, ...], request: SpawnRequest, session: str) -> list[str]:
        filled: list[str] = []
        for word in words:
            if "{model}" in word and not request.model:
                filled = filled[:-1] if word == "{model}" and filled else filled
                continue
            if word == "{mode}" and self.modes:
                filled += self._of_mode(request.mode)
                continue
            model = checked_model(request.model) if "{model}" in word and request.model else ""
            values = {"task": request.task, "mode": request.mode, "model": model, "session": session}
            filled.append(_put_in(word, values))
        return filled

    def _of_mode(self, mode: str) -> tuple[str, ...]:
        if mode in self.modes:
            return self.modes[mode]
        why = f"agents.toml gives it the modes {', '.join(sorted(self.modes))}"
        raise cannot(self.name, f"run in mode {mode}", why, f"--mode {sorted(self.modes)[0]}")

    def reader(self) -> Reader:
        if self.stream == "claude":
            return StreamReader(self.name, "")
        if self.stream == "codex":
            return ExecReader(self.name)
        if self.stream == "jsonl":
            return ObjectReader(self.name, self.rule)
        return TextReader(self.name, self.rule.failure) if self.rule.failure else PlainReader()


def _put_in(word: str, values: dict[str, str]) -> str:
    # one pass: a mark that stands in the task's own text stays as it is
    return _MARK.sub(lambda mark: values[mark[1]], word)


# reading the file


def fault(path: Path, why: str, line: int | None = None) -> LocalFault:
    """What is wrong with the file, and in which line, from 1; None for all of it."""
    place = path.name if line is None else f"{path.name}, line {line},"
    return LocalFault(f"{place} cannot be used", code=Code.BAD_AGENTS_FILE, why=why, hint=f"mend {path}")


@frozen
class Section:
    """A section of the file, for the words: `agents.NAME`, or `environment`.

    Attributes:
        path: the file, `text`: what stands in it.
        keys: the section's name, part by part.
    """

    path: Path
    text: str
    keys: tuple[str, ...]

    def fault(self, why: str, *keys: str) -> LocalFault:
        """What is wrong with it, or with one of its keys, and in which line."""
        line = max(line_of(self.text, *self.keys), line_of(self.text, *self.keys, *keys) if keys else 0)
        return fault(self.path, f"in section {'.'.join(self.keys)}: {why}", line)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_word, value))


def _is_command(value: object) -> bool:
    return _are_words(value) and value != []


def is_environment(value: object) -> bool:
    """Whether this is a table of variables that a process can have."""
    return isinstance(value, dict) and all(map(_is_variable, value.items()))


def _is_variable(item: tuple[str, object]) -> bool:
    name, value = item
    return _is_word(name) and "=" not in name and isinstance(value, str) and "\0" not in value


def _are_modes(value: object) -> bool:
    return isinstance(value, dict) and all(mode in MODES and _are_words(words) for mode, words in value.items())


def _is_rule(value: object) -> bool:
    return isinstance(value, dict) and value != {} and all(type(each) in (str, int, bool) for each in value.values())


def _are_patterns(value: object) -> bool:
    if not isinstance(value, list) or not all(_is_word(each) and len(each) <= _MAX_PATTERN for each in value):
        return False
    try:
        return all(re.compile(each) is not None for each in value)
    except (re.error, RecursionError, OverflowError):
        return False


_KEYS: dict[str, tuple[Callable[[object], bool], str]] = {
    "command": (_is_command, "a list of words"),
    "resume": (_is_command, "a list of words"),
    "modes": (_are_modes, "a table of lists of words, by mode: plan, edit, full"),
    "stop": (lambda value: isinstance(value, str) and value in STOPS, "INT, TERM or KILL"),
    "environment": (is_environment, "a table of texts"),
    "stream": (lambda value: isinstance(value, str) and value in STREAMS, "plain, jsonl, claude or codex"),
    "success": (_is_rule, "a table of texts, whole numbers and booleans, by key; a key with a dot in quotes"),
    "failure": (_are_patterns, "a list of regular expressions"),
    "session": (_is_word, "the key of the session's id"),
    "summary": (_is_word, "the key of the final words"),
    "version": (_are_words, "a list of words"),
}
_OF_STREAM = {"success": "jsonl", "session": "jsonl", "summary": "jsonl", "failure": "plain"}


def template(section: Section, name: str, table: Any) -> Template:
    """The agent that a section defines.

    Args:
        section: where it stands, for the words.
        name: the agent's.
        table: the section.

    Raises:
        LocalFault: `bad_agents_file`, with the place.
    """
    if not ids.is_name(name) or not isinstance(table, dict):
        raise section.fault("not a table, or not a name")
    if unknown := sorted(set(table) - set(_KEYS)):
        raise section.fault(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}", unknown[0])
    for key, (fits, words) in _KEYS.items():
        if (key in table or key == "command") and not fits(table.get(key)):
            raise section.fault(f"{key} has to be {words}{_bad_pattern(key, table.get(key))}", key)
    if found := _contradiction(table) or _misspelled(table):
        raise section.fault(found[1], found[0])
    rule = Rule(
        table.get("success", {}),
        tuple(map(re.compile, table.get("failure", ()))),
        table.get("session", ""),
        table.get("summary", ""),
    )
    return Template(
        name,
        tuple(table["command"]),
        STOPS[table.get("stop", "INT")],
        table.get("environment", {}),
        tuple(table.get("resume", ())),
        {mode: tuple(words) for mode, words in table.get("modes", {}).items()},
        table.get("stream", "plain"),
        rule,
        tuple(table.get("version", ())),
    )


def _bad_pattern(key: str, value: object) -> str:
    """Which regular expression is none, and why, where that is what is wrong."""
    for each in value if key == "failure" and isinstance(value, list) else ():
        try:
            re.compile(str(each))
        except (re.error, RecursionError, OverflowError) as error:
            return f": {str(each)[:80]!r} is none: {error}"
    return ""


def _contradiction(table: dict[str, Any]) -> tuple[str, str] | None:
    """The key that goes with another one badly, and why."""
    stream = table.get("stream", "plain")
    for key, of in _OF_STREAM.items():
        if key in table and stream != of:
            return key, f"{key} is for stream = \"{of}\", and this one is \"{stream}\""
    if stream == "jsonl" and "success" not in table:
        return "stream", "stream = \"jsonl\" needs success: what its last object has to say"
    for key in ("command", "resume"):
        if key in table and _MARK.search(table[key][0]):
            return key, f"{key} has to begin with a program: no request may choose it"
    if "resume" in table and not any("{session}" in word for word in table["resume"]):
        return "resume", "resume has to name {session}"
    if any("{session}" in word for word in table["command"]):
        return "command", "{session} is for resume: a first run has none"
    return _vain(table)


def _vain(table: dict[str, Any]) -> tuple[str, str] | None:
    """The key that could never do what it is for, and why."""
    for key in ("command", "resume"):
        if "modes" in table and "{mode}" not in table.get(key, ["{mode}"]):
            return key, f"{key} needs the word {{mode}}: without it what modes says reaches no program"
    for each in table.get("failure", ()):
        if re.search(each, ""):
            return "failure", f"{each[:80]!r} is found in every line, so that no run could be a success"
    for key in table.get("success", ()):
        if longer := next((other for other in table["success"] if other.startswith(f"{key}.")), None):
            return "success", f"{key} cannot be {table['success'][key]!r} and have {longer} in it"
    return None


def _misspelled(table: dict[str, Any]) -> tuple[str, str] | None:
    """The key with a mark that is none, and what was meant: it would reach the program as it is."""
    for key in ("command", "resume"):
        for word in table.get(key, ()):
            for name in _BRACED.findall(word):
                near = _MEANT.get(name) or next(iter(get_close_matches(name.lower(), MARKS, 1)), name)
                if near != name:
                    return key, f"{{{name}}} is put in for nothing; {{{near}}} would be, of {_KNOWN_MARKS}"
    return None

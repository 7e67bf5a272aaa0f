"""`shell`, `exec` and `python`: the agents that take commands, each granted only by its name."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from relay.core.errors import Code, Misuse
from relay.core.spawning import SpawnRequest
from relay.spawn.agents.agent import Command, PlainReader, Probe, Reader, SessionPlace, no_resume, no_turns


class Shell:
    """Runs the task text with `/bin/sh -c`."""

    name = "shell"

    def probe(self) -> Probe | None:
        return None

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_resume(self.name, resume)
        no_turns(self.name, request)
        if not request.task.strip():
            raise Misuse("the task is empty", code=Code.BAD_TASK, hint='relay spawn NAME shell "make test"')
        # a shell's options go on behind its -c: "--version" for a task printed bash's, and was done
        return Command(("/bin/sh", "-c", "--", request.task), stop_signal=signal.SIGTERM)

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return None

    def reader(self) -> Reader:
        return PlainReader()


class Python:
    """Runs the task text as a program of Python's."""

    name = "python"

    def probe(self) -> Probe | None:
        return Probe("python3", ("--version",))

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_resume(self.name, resume)
        no_turns(self.name, request)
        if not request.task.strip():
            raise Misuse("the task is empty", code=Code.BAD_TASK, hint='relay spawn NAME python "print(1)"')
        return Command(("python3", "-c", request.task), stop_signal=signal.SIGTERM)

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return None

    def reader(self) -> Reader:
        return PlainReader()


class Exec:
    """Runs the request's words as they are, without a shell."""

    name = "exec"

    def probe(self) -> Probe | None:
        return None

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_resume(self.name, resume)
        no_turns(self.name, request)
        if not request.argv or not request.argv[0]:
            raise Misuse(
                "the agent exec was given no words to run",
                code=Code.BAD_TASK,
                hint="relay spawn NAME exec -- make test",
            )
        return Command(request.argv, stop_signal=signal.SIGTERM)

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return None

    def reader(self) -> Reader:
        return PlainReader()

"""`llm` and `groq`: one prompt to one model through the program `llm`, for answers and not for work on files."""

from __future__ import annotations

from relay.core.spawning import SpawnRequest
from relay.spawn.agents.agent import Command, Probe, Reader, no_turns
from relay.spawn.agents.oneshot import FAILURE, Sessionless, command_for, going_on
from relay.spawn.agents.rules import TextReader


class Llm(Sessionless):
    """Its conversations are rows of its own database.

    Args:
        name: of the agent.
        model: where the request names none; None for what `llm models default` says.
        log_in: the command that stores a key.
    """

    def __init__(self, name: str = "llm", model: str | None = None, log_in: str = "llm keys set openai") -> None:
        self.name = name
        self._model = model
        self._log_in = log_in

    def probe(self) -> Probe | None:
        return Probe("llm", ("--version",), log_in=self._log_in)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_turns(self.name, request)
        argv = ["llm", "prompt", *going_on("--cid", resume)]
        if self._model and not request.model:
            argv += ["--model", self._model]
        return command_for(self.name, argv, request, "--model")

    def reader(self) -> Reader:
        return TextReader(self.name, FAILURE, self._log_in)


def groq() -> Llm:
    """Groq's models, through `llm` and its plugin llm-groq."""
    return Llm("groq", "groq/llama-3.3-70b-versatile", "llm install llm-groq && llm keys set groq")

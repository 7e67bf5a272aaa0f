"""`aider`: one message, its text read for the errors that its exit code keeps quiet about (measured with 0.86)."""

from __future__ import annotations

from collections.abc import Mapping

from relay.core.spawning import SpawnRequest
from relay.spawn.agents.agent import Command, Probe, Reader, SessionPlace, no_turns
from relay.spawn.agents.oneshot import FAILURE, command_for
from relay.spawn.agents.rules import TextReader

# with a yes to everything it would open these in a browser
_NO_PAGES = ("--no-show-release-notes", "--no-show-model-warnings")
_ALWAYS = ("--yes-always", "--no-pretty", "--no-stream", "--no-check-update", "--analytics-disable", *_NO_PAGES)
_MODES = {
    "plan": ["--chat-mode", "ask"],
    "edit": ["--no-suggest-shell-commands"],
    "full": [],
}
_LOG_IN = "aider --api-key PROVIDER=KEY, or the provider's own variable"


class Aider:
    """Its conversation is a file in the directory where it runs; it commits nothing by itself."""

    name = "aider"

    def probe(self) -> Probe | None:
        return Probe("aider", ("--version",), log_in=_LOG_IN)

    def command(self, request: SpawnRequest, attempt: int, resume: str | None = None) -> Command:
        no_turns(self.name, request)
        argv = ["aider", *_ALWAYS, "--no-auto-commits", "--no-dirty-commits", *_MODES[request.mode]]
        argv += ["--restore-chat-history"] if resume is not None else []
        return command_for(self.name, [*argv, "--message-file", "/dev/stdin"], request, "--model")

    def session_place(self, session: str, cwd: str, environment: Mapping[str, str]) -> SessionPlace | None:
        return SessionPlace(cwd, ".aider.chat.history.md")

    def reader(self) -> Reader:
        return TextReader(self.name, FAILURE, _LOG_IN)

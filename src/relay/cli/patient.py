"""The client of the command: where an answer takes longer than a second, a person is told what is waited for."""

from __future__ import annotations

from relay.api.client import Client, is_order
from relay.cli import progress, speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    from relay.api.home import Home
    from relay.api.http1 import Response
    from relay.api.routes import Call
    from relay.core.errors import RelayError

    Answer = TypeVar("Answer")

LOOKING = "looking for it here and on the brokers in reach"
UNDER_WAY = "what was asked for may be done all the same; look before you ask again: {}"
WORKING = "waiting for the broker of this machine"
ITS_WORD = "waiting for the word of its machine"
_TEXTS = {
    "doctor": "the broker examines itself and its agents",
    "review": "asking every broker in reach what waits for a person",
    "agents": "asking every broker in reach what it can run",
    "listing": "asking every broker in reach what it runs",
    "trials": "asking the broker that would run it",
    "joins": "entering the workspace",
    "answers": ITS_WORD,
}
_PING = "waiting for the answer to a ping"
_OF_A_SPAWN = {"log": "waiting for its output", "stop": "asking for its end"} | dict.fromkeys(
    ("pause", "resume", "retry", "continue", "take", "edit"), ITS_WORD
)
_SILENT = ("events", "blobs")  # streams that may rest for long, and what has a bar of its own


class PatientClient(Client):
    """A client that shows what takes long.

    Args:
        home: whose broker.
        quiet: no line where nobody watches; a terminal shows it all the same.

    Attributes:
        says: what to show instead of the text for the call; empty for nothing.
    """

    def __init__(self, home: Home, quiet: bool) -> None:
        super().__init__(home)
        self.says: str | None = None
        self._quiet = quiet
        self._streams = False

    def ask(self, call: Call[Answer]) -> Answer:
        try:
            return super().ask(call)
        except KeyboardInterrupt as fault:
            if is_order(call):
                fault.args = (UNDER_WAY.format(self.home.command("ps --all")),)
            raise

    def lines(self, call: Call[Answer]) -> Iterator[Answer]:
        self._streams = True
        try:
            yield from super().lines(call)
        finally:
            self._streams = False

    def silent(self, fault: RelayError) -> None:
        speech.note(f"{fault.message}: {fault.why}; this goes on once it does ({fault.hint})")

    def _begin(self, call: Call[Answer]) -> tuple[Response, list[bytes]]:
        text = text_of(call) if self.says is None else self.says
        if not text:
            return super()._begin(call)
        with progress.Shown(text, quiet=self._quiet or self._streams):
            return super()._begin(call)


def text_of(call: Call[Answer]) -> str:
    """What a person reads while a call is waited for; empty where it shows that itself."""
    parts = call.path.partition("?")[0].split("/")[3:]
    if parts[0] in _SILENT:
        return ""
    if parts[0] == "spawns" and len(parts) > 1:
        return _OF_A_SPAWN.get(parts[2], WORKING) if len(parts) > 2 else LOOKING
    if parts[0] == "queue" and (call.body or {}).get("broker"):
        return ITS_WORD
    if parts[0] == "schedules" and parts[-1] == "remove":
        return ITS_WORD
    return _TEXTS.get(parts[0]) or (_PING if parts[-1] == "ping" else WORKING)

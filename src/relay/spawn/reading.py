"""Reading an attempt's log for its agent: progress while it runs, the finding and the tail at its end."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from relay.core.errors import Code
from relay.core.spawning import MAX_TAIL
from relay.core.states import State
from relay.core.tails import Tail
from relay.spawn import transcript
from relay.spawn.agents.agent import Finding, PlainReader, Reader, tellable
from relay.spawn.agents.asking import AgentQuestion, AskingReader, asks
from relay.spawn.shim.frames import ERR, OUT
from relay.spawn.transcript import Chunk

STEP = 256 * 1024
SMALL = 64 * 1024
_log = logging.getLogger(__name__)


class LogReading:
    """One attempt's log, read once from front to end.

    Args:
        log: its path.
        reader: the agent's.
    """

    def __init__(self, log: Path, reader: Reader) -> None:
        self._log = log
        self._reader = reader
        self._asking: AskingReader | None = reader if asks(reader) else None
        self._offset = 0
        self._fault = ""
        self._length: int | None = None
        self.is_behind = False
        self.questions: list[AgentQuestion] = []
        self.withdrawn: list[str] = []

    def take_questions(self) -> tuple[list[AgentQuestion], list[str]]:
        """What the agent asked, and what it needs no answer to any more, since the last call."""
        taken = self.questions, self.withdrawn
        self.questions, self.withdrawn = [], []
        return taken

    def progress(self) -> list[str]:
        """What the agent said since the last call; reads at most 256 KiB, and nothing for agents that say nothing.

        `is_behind` tells whether there is more: who writes faster than it is read would hold up everybody else.
        """
        if isinstance(self._reader, PlainReader):
            return []
        before = self._offset
        said = self._read(STEP)
        # what it asks may be the last that it writes until it is answered
        self.is_behind = before < self._offset < self._size()
        return said

    def _read(self, limit: int | None) -> list[str]:
        said: list[str] = []
        if self._fault:
            return said
        try:
            for chunk in transcript.chunks(self._log, self._offset, limit):
                for stream, data in _readable(chunk):
                    said += self._reader.feed(stream, data)
                self._offset = chunk.next_offset
                self._hear_questions()
        except FileNotFoundError:
            return said
        except Exception as fault:  # whatever an agent of a package does: its task goes on, and ends
            self._give_up(fault)
        return said

    def _give_up(self, fault: Exception) -> None:
        _log.warning("what reads the output in %s failed; it is read no more", self._log.parent.name, exc_info=fault)
        self._fault = type(fault).__name__

    def _hear_questions(self) -> None:
        if self._asking is not None:
            self.questions += self._asking.asked()
            self.withdrawn += self._asking.withdrawn()

    async def conclude(self, exit_code: int, length: int | None = None) -> tuple[Finding, str]:
        """The finding and the tail; off the loop where there is much to read.

        Args:
            exit_code: of the task.
            length: the offset of the log's end, where that is known.
        """
        self._length = length
        if isinstance(self._reader, PlainReader) and self._size() <= SMALL:
            return self.finding(exit_code), self.tail()
        return await asyncio.to_thread(lambda: (self.finding(exit_code), self.tail()))

    async def ending(self, text: str, attempt: int, now: int) -> Tail | None:
        """The longer tail that goes to the origin beside a result; None where the result has all of it, or it is gone.

        Args:
            text: the end of the output as it stands in the result.
            attempt: which try.
            now: milliseconds since 1970.
        """
        # a log is longer than its output: what is no longer than the text's limit has all of it in the text
        if self._size() <= MAX_TAIL and "\ufffd" not in text:
            return None
        try:
            return await asyncio.to_thread(lambda: transcript.ending(self._log, attempt, now))
        except FileNotFoundError:
            return None

    def _size(self) -> int:
        if self._length is not None:
            return self._length
        try:
            return transcript.end(self._log)
        except FileNotFoundError:
            return 0

    def finding(self, exit_code: int) -> Finding:
        """What the whole output says about the end. Blocks while it reads the rest."""
        if not isinstance(self._reader, PlainReader):
            self._read(None)
        try:
            return self._not_read(exit_code) if self._fault else tellable(self._reader.finding(exit_code))
        except Exception as fault:
            self._give_up(fault)
            return self._not_read(exit_code)

    def _not_read(self, exit_code: int) -> Finding:
        why = f"what reads its agent's output failed ({self._fault}), so that its result is not known; it ended with"
        return Finding(
            State.FAILED, code=Code.AGENT_NO_RESULT, why=f"{why} exit code {exit_code}", hint="relay logs {id}"
        )

    def tail(self) -> str:
        """The last 16,000 bytes of output as text; empty where there is no log."""
        if self._length == 0:
            return ""
        try:
            return transcript.tail_text(self._log, MAX_TAIL)
        except FileNotFoundError:
            return ""


def _readable(chunk: Chunk) -> list[tuple[int, bytes]]:
    # the halves of two lines on the two sides of a gap must not be read as one
    return [(OUT, b"\n"), (ERR, b"\n")] if chunk.missing else [(chunk.stream, chunk.data)]

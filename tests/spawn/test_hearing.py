"""What an agent writes is read while it runs: faster than it can be read, and where what reads it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relay.core.errors import Code
from relay.core.states import State
from relay.spawn import transcript
from relay.spawn.agents.agent import Finding
from relay.spawn.agents.claude import StreamReader
from relay.spawn.attempt import Output, Started
from relay.spawn.hearing import Hearing
from relay.spawn.reading import STEP, LogReading
from relay.spawn.shim.logfile import LogFile

ASKS = (
    b'{"type":"control_request","request_id":"r1","request":'
    b'{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"ls"}}}\n'
)


def test_a_flood_is_read_piece_by_piece_and_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    writer = LogFile(str(log), 64 << 20)
    for _ in range(64):
        writer.write(0, b'{"type":"x"}\n' * 5_000)
    writer.write(0, ASKS)
    assert asyncio.run(_heard(log)) == ["r1"]


async def _heard(log: Path) -> list[str]:
    asked, told = list[str](), asyncio.Event()

    def ask(questions: list[Any], withdrawn: list[str]) -> None:
        asked.extend(each.name for each in questions)
        told.set()

    nothing: Any = lambda *words: None  # noqa: E731
    listener: Any = SimpleNamespace(seen_running=nothing, grew=nothing, said=nothing)
    watch: Any = SimpleNamespace(heard=nothing, asked=ask, over=nothing)
    reading = LogReading(log, StreamReader())
    row: Any = SimpleNamespace(state=State.RUNNING)
    hearing = Hearing(listener, row, reading, watch)
    size = transcript.end(log)
    hearing(Output(size))
    assert reading.is_behind and reading._offset < 2 * STEP < size, "the rest is read in other turns"
    await told.wait()
    assert not reading.is_behind
    hearing.over()
    return asked


def test_what_has_ended_is_told_to_have_run_while_what_it_left_is_gathered(tmp_path: Path) -> None:
    asyncio.run(_gathered(tmp_path / "log"))


async def _gathered(log: Path) -> None:
    ran = asyncio.Event()
    nothing: Any = lambda *words: None  # noqa: E731
    listener: Any = SimpleNamespace(started=nothing, seen_running=lambda row, started: ran.set())
    row: Any = SimpleNamespace(state=State.STARTING)
    with Hearing(listener, row, LogReading(log, StreamReader()), SimpleNamespace(over=nothing)) as hearing:  # type: ignore[arg-type]
        hearing(Started(1, 1, at=0))
        hearing.over()
        await ran.wait()  # the end is not written down yet
    ran.clear()
    with Hearing(listener, row, LogReading(log, StreamReader()), SimpleNamespace(over=nothing)) as hearing:  # type: ignore[arg-type]
        hearing(Started(1, 1, at=0))
        hearing.over()
    for _ in range(2):  # what is due runs behind who waits
        await asyncio.sleep(0)
    assert not ran.is_set()


class Bad:
    """The reader of a package that does not expect what its agent writes."""

    def __init__(self, fails: str) -> None:
        self._fails = fails
        self.fed = 0

    def _may_fail(self, what: str) -> None:
        if what == self._fails:
            raise KeyError("name")

    def feed(self, stream: int, data: bytes) -> list[str]:
        self.fed += 1
        self._may_fail("feed")
        return ["a word"]

    def asked(self) -> list[Any]:
        self._may_fail("asked")
        return []

    def withdrawn(self) -> list[str]:
        return []

    def finding(self, exit_code: int) -> Finding:
        self._may_fail("finding")
        return Finding(State.COMPLETED)


class Odd(Bad):
    """The reader of a package that says what its agent wrote as it stands, whatever that is."""

    def __init__(self, **said: Any) -> None:
        super().__init__("nothing")
        self._said = said

    def finding(self, exit_code: int) -> Finding:
        return Finding(State.COMPLETED, **self._said)


@pytest.mark.parametrize(
    "said",
    [{"model": 5}, {"session": ["s"]}, {"summary": None}, {"notes": (5,)}, {"usage": {"turns": float("nan")}},
     {"usage": {1: 2}}, {"why": "half a letter: \ud83d"}, {"usage": {"log": "x" * 100_000}}, {"resets": "soon"}],
)  # fmt: skip
def test_a_finding_that_nobody_could_be_told_is_a_reader_s_failure(tmp_path: Path, said: dict[str, Any]) -> None:
    """An origin refuses a word in which another sort of value stands: it would never hear of the end."""
    finding, _ = asyncio.run(LogReading(tmp_path / "log", Odd(**said)).conclude(0))
    assert (finding.state, finding.code) == (State.FAILED, Code.AGENT_NO_RESULT)
    assert "so that its result is not known" in finding.why


@pytest.mark.parametrize("fails", ["feed", "asked", "finding"])
def test_what_reads_an_agent_s_output_may_fail_and_its_task_ends_all_the_same(tmp_path: Path, fails: str) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    LogFile(str(log), 64 << 20).write(0, b"out\n")
    reader = Bad(fails)
    reading = LogReading(log, reader)
    for _ in range(2):
        assert reading.progress() in ([], ["a word"]) and not reading.is_behind
    finding, tail = asyncio.run(reading.conclude(0))
    assert reader.fed == 1 and tail == "out\n"
    assert finding.state is State.FAILED and finding.code is Code.AGENT_NO_RESULT
    assert finding.why.endswith("failed (KeyError), so that its result is not known; it ended with exit code 0")

"""An agent that writes faster than it is read: its question is heard all the same, and others have their turn."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from relay.core.states import State
from relay.spawn import transcript
from relay.spawn.agents.claude import StreamReader
from relay.spawn.attempt import Output
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
    await asyncio.wait_for(told.wait(), 20)
    assert not reading.is_behind
    hearing.over()
    return asked

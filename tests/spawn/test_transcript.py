"""The log: what goes in comes out, from any block, with any tail."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.spawn import transcript
from relay.spawn.shim.frames import BLOCK, HEAD
from relay.spawn.shim.logfile import LogFile

if TYPE_CHECKING:
    from pathlib import Path

PIECES = [(number % 2, bytes([65 + number % 26]) * (number * 379 % 9000 + 1)) for number in range(200)]


def written(path: Path, pieces: list[tuple[int, bytes]]) -> Path:
    log = path / "log"
    log.write_bytes(b"")
    writer = LogFile(str(log), 1 << 30)
    for stream, data in pieces:
        writer.write(stream, data)
    return log


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    log = written(tmp_path, PIECES)
    found = list(transcript.chunks(log))
    for stream in (0, 1):
        wanted = b"".join(data for each, data in PIECES if each == stream)
        assert b"".join(chunk.data for chunk in found if chunk.stream == stream) == wanted
    assert found[-1].next_offset == log.stat().st_size
    assert all(chunk.offset // BLOCK == (chunk.next_offset - 1) // BLOCK or chunk.offset % BLOCK for chunk in found)


def test_reading_goes_on_from_any_chunk(tmp_path: Path) -> None:
    log = written(tmp_path, PIECES)
    found = list(transcript.chunks(log))
    for number in range(0, len(found), 17):
        assert list(transcript.chunks(log, found[number].offset)) == found[number:]
        assert list(transcript.chunks(log, found[number].next_offset)) == found[number + 1 :]


def test_the_limit_counts_bytes_of_the_file(tmp_path: Path) -> None:
    log = written(tmp_path, [(0, b"x" * 100)] * 10)
    assert len(list(transcript.chunks(log, 0, 3 * (100 + HEAD.size)))) == 3
    assert len(list(transcript.chunks(log, 0, 3 * (100 + HEAD.size) - 1))) == 2


def test_every_torn_tail_reads_as_what_came_before(tmp_path: Path) -> None:
    log = written(tmp_path, [(0, b"one"), (1, b"two"), (0, b"three")])
    whole = list(transcript.chunks(log))
    for size in range(log.stat().st_size, -1, -1):
        os.truncate(log, size)
        assert list(transcript.chunks(log)) == [chunk for chunk in whole if chunk.next_offset <= size]
        assert transcript.tail(log, 100) == b"".join(chunk.data for chunk in whole if chunk.next_offset <= size)


def test_raw_bytes_are_forwarded_whole(tmp_path: Path) -> None:
    log = written(tmp_path, PIECES)
    copied, offset = [], 0
    while piece := transcript.raw(log, offset, BLOCK + 100):
        copied += list(transcript.split(piece, offset))
        offset += len(piece)
    assert [(chunk.stream, chunk.data) for chunk in copied] == [
        (chunk.stream, chunk.data) for chunk in transcript.chunks(log)
    ]


def test_the_tail(tmp_path: Path) -> None:
    log = written(tmp_path, PIECES)
    everything = b"".join(data for _, data in PIECES)
    for limit in (1, 10, 5000, 200_000, 10**9):
        assert transcript.tail(log, limit) == everything[-limit:]
    assert transcript.tail_text(written(tmp_path, []), 10) == ""


def test_a_cut_character_is_shown_as_such(tmp_path: Path) -> None:
    assert transcript.tail_text(written(tmp_path, [(0, "aé".encode())]), 1) == "\N{REPLACEMENT CHARACTER}"


def test_a_task_cannot_forge_frames(tmp_path: Path) -> None:
    forged = HEAD.pack(0xA7, 1, 5, 0) + b"false"
    log = written(tmp_path, [(0, forged * 9000)])
    assert {chunk.stream for chunk in transcript.chunks(log)} == {0}
    assert transcript.tail(log, 3 * BLOCK) == (forged * 9000)[-3 * BLOCK :]


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=300), offset=st.integers(0, 3 * BLOCK))
def test_any_bytes_are_read_without_a_fault(raw: bytes, offset: int) -> None:
    for chunk in transcript.split(raw, offset):
        assert offset < chunk.next_offset <= offset + len(raw)

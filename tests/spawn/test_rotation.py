"""A log that grows too long keeps its head and its newest part; offsets stay true, and what is gone is said."""

from __future__ import annotations

import os
import resource
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.broker import log_pieces
from relay.spawn import transcript
from relay.spawn.reading import LogReading
from relay.spawn.shim import segments
from relay.spawn.shim.frames import BLOCK, GAP, HEAD
from relay.spawn.shim.logfile import LogFile

from .yard import until

if TYPE_CHECKING:
    from pathlib import Path

    from .yard import Run, Yard

LIMIT = 1 << 20
LINE = 64


def numbered(first: int, count: int) -> bytes:
    return b"".join(b"%062d\n" % number + b"." for number in range(first, first + count))


def log_of(folder: Path, limit: int = LIMIT) -> tuple[Path, LogFile]:
    log = folder / "log"
    log.write_bytes(b"")
    return log, LogFile(str(log), limit)


def kept_bytes(log: Path) -> int:
    return sum(file.stat().st_size for file in log.parent.iterdir() if file.name.startswith("log"))


def test_head_and_newest_are_kept_and_the_gap_is_told(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    whole = numbered(0, 100_000)
    for at in range(0, len(whole), 5_000):
        writer.write(0, whole[at : at + 5_000])
    assert writer.dropped and not writer.lost
    assert LIMIT * 3 / 4 < kept_bytes(log) <= LIMIT
    found = list(transcript.chunks(log))
    (gap,) = (each for each in found if each.stream == GAP)
    at = found.index(gap)
    head, rest = (b"".join(each.data for each in part) for part in (found[:at], found[at:]))
    assert whole.startswith(head) and whole.endswith(rest) and LIMIT / 5 < len(head) < LIMIT / 3
    assert len(head) + len(rest) + writer.dropped == len(whole)
    assert gap.missing >= writer.dropped and not gap.data and gap.at_ms
    # every piece begins where the one before it ends: nothing is passed over in silence
    assert all(one.next_offset == other.offset for one, other in pairwise(found))
    assert found[-1].next_offset == transcript.end(log) == writer.end


def test_reading_goes_on_from_any_offset_that_was_ever_handed_out(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    seen: list[int] = []
    for number in range(400):
        writer.write(0, numbered(number * 100, 100))
        seen.append(writer.end)
    oldest = segments.starts(str(log))[0]
    for offset in seen[::7]:
        first = next(transcript.chunks(log, offset), None)
        if first is None:
            assert offset == writer.end
        elif offset < oldest and offset >= log.stat().st_size - HEAD.size:
            assert (first.stream, first.offset, first.next_offset) == (GAP, offset, oldest)
        else:
            assert first.stream == 0 and first.offset == offset and first.data


def test_a_log_within_its_limit_has_no_gap(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    whole = numbered(0, LIMIT // LINE * 9 // 10)
    writer.write(0, whole)
    assert segments.starts(str(log))
    assert b"".join(each.data for each in transcript.chunks(log)) == whole
    assert transcript.tail(log, 10**9) == whole and not writer.dropped


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=60), limit=st.sampled_from([1, 300_000, LIMIT]))
def test_any_pieces_under_any_limit(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], limit: int) -> None:
    log, writer = log_of(tmp_path_factory.mktemp("log"), limit)
    whole = b""
    for number, size in enumerate(sizes):
        piece = bytes([33 + number]) * size
        whole += piece
        writer.write(number % 2, piece)
        assert kept_bytes(log) <= max(limit, segments.LEAST)
    found = list(transcript.chunks(log))
    kept = b"".join(each.data for each in found)
    assert len(kept) + writer.dropped == len(whole)
    gaps = [number for number, each in enumerate(found) if each.missing]
    assert len(gaps) == bool(writer.dropped)
    rest = b"".join(each.data for each in found[gaps[0] :]) if gaps else whole
    assert whole.endswith(rest) and transcript.tail(log, len(whole)) == rest


def test_an_older_brokers_limit_is_divided_like_any_other() -> None:
    for limit in (0, 1, 300_000, LIMIT, 256 << 20, 1 << 40):
        layout = segments.Layout(limit)
        assert layout.head % BLOCK == layout.segment % BLOCK == 0 and layout.head and layout.most >= 3
        assert layout.head + layout.most * layout.segment <= max(limit, segments.LEAST)


def test_the_last_lines_are_not_sought_beyond_a_gap(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    for number in range(300):
        writer.write(0, numbered(number * 100, 100))
    (cut,), offset = log_pieces.last_lines(log, 10)
    assert cut.stream == 0 and offset
    (gap,), offset = log_pieces.last_lines(log, 10**6)
    assert gap.missing and offset == gap.next_offset == segments.starts(str(log))[0]


def test_a_moment_is_found_behind_the_gap_without_reading_what_is_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, writer = log_of(tmp_path)
    seconds = iter(range(1, 10_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(seconds) * 1_000_000_000)
    for number in range(300):
        writer.write(0, numbered(number * 100, 100))
    kept = list(transcript.chunks(log))
    oldest = segments.starts(str(log))[0]
    for wanted in (kept[-1], kept[len(kept) // 2], next(each for each in kept if each.offset >= oldest)):
        at = log_pieces.first_since(log, wanted.at_ms)
        found = list(transcript.chunks(log, at))
        assert log_pieces.not_before(found, wanted.at_ms)[0].at_ms == wanted.at_ms
        assert sum(len(each.data) for each in found if each.at_ms < wanted.at_ms) <= BLOCK
    assert log_pieces.first_since(log, kept[-1].at_ms) > oldest
    assert log_pieces.first_since(log, 0) == 0


class Lines:
    """A reader that keeps what it is given."""

    def __init__(self) -> None:
        self.text = b""

    def feed(self, stream: int, data: bytes) -> list[str]:
        self.text += data if stream == 0 else b""
        return []


def test_an_agents_reader_takes_no_two_halves_for_one_line(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    for number in range(1000):
        writer.write(0, b"%d" % (number % 10) * 1999)
    reader = Lines()
    LogReading(log, reader)._read(None)  # type: ignore[arg-type]
    assert reader.text.count(b"\n") == 1


def resident_kib(pid: int) -> int | None:
    """What a process holds in memory; None for one that has ended, reaped or not."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), None)
    except (FileNotFoundError, ProcessLookupError):
        return None


async def flood(yard: Yard, mib: int, limit: int) -> tuple[Run, list[int]]:
    """Print so many MiB; the shim's memory meanwhile, in KiB."""
    run = await yard.sh(f"head -c {mib << 20} /dev/zero; echo the end", log_limit=limit)
    found: list[int] = []

    def ended() -> bool:
        if run.attempt.read().started and (held := resident_kib(run.shim)) is not None:
            found.append(held)
        return run.watching.done()

    await until(ended, 120)
    return run, found


async def check_flood(yard: Yard, mib: int, limit: int) -> None:
    run, memory = await flood(yard, mib, limit)
    end = await run.exit()
    assert end.exit_code == 0 and not end.log_lost
    assert end.log_bytes > mib << 20 and kept_bytes(run.attempt.log) <= limit
    kept = sum(len(each.data) for each in transcript.chunks(run.attempt.log))
    assert kept + end.log_dropped == (mib << 20) + len("the end\n")
    assert transcript.tail_text(run.attempt.log, 8) == "the end\n"
    # a buffer and what the pipes hold; not a part of what was printed
    assert max(memory) - min(memory) < 4 * 1024, memory


async def test_a_task_that_prints_256_mib(yard: Yard) -> None:
    await check_flood(yard, 256, 8 << 20)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_task_that_prints_2_gib(yard: Yard) -> None:
    await check_flood(yard, 2048, 256 << 20)


async def test_a_reader_that_is_overtaken_is_told_how_much_it_missed(yard: Yard, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"head -c 100000 /dev/zero; until test -e {go}; do sleep 0.02; done; head -c 4000000 /dev/zero; echo end"
    run = await yard.sh(script, log_limit=LIMIT)
    await until(lambda: transcript.end(run.attempt.log) > 100_000)
    read = list(transcript.chunks(run.attempt.log))
    go.touch()
    end = await run.exit()
    read += transcript.chunks(run.attempt.log, read[-1].next_offset)
    assert sum(each.missing for each in read) >= end.log_dropped > 0
    assert sum(len(each.data) for each in read) + end.log_dropped == end.log_written == 4_100_004
    assert read[-1].next_offset == end.log_bytes


def test_what_keeps_the_end_of_a_write_from_the_disk_is_told(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # `ulimit -f`: a write of more than fits is cut short
    try:
        writer.write(0, bytes(60_000))
        writer.write(0, bytes(60_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (writer.lost, writer.error) == (60_000, "EFBIG")
    assert sum(len(each.data) for each in transcript.chunks(log)) == 60_000


async def test_a_full_disk_in_the_middle_of_a_rotated_log(tmp_path: Path) -> None:
    log, writer = log_of(tmp_path)
    writer.write(0, numbered(0, 10_000))
    os.symlink("/dev/full", segments.name(str(log), writer._stop))
    for number in range(2_000):
        writer.write(0, numbered(number, 10))
    assert writer.error == "ENOSPC" and writer.lost
    found = list(transcript.chunks(log))
    # what was written before stays readable, up to where no file could follow
    assert found[0].offset == 0 and found[-1].next_offset == writer.end
    assert all(one.next_offset == other.offset for one, other in pairwise(found))

"""Waking up: at once with inotify, soon without."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from relay.spawn import watch
from relay.spawn.attempt import Vanished
from relay.spawn.shim import processes
from relay.spawn.watch import Changes, Watcher

from .yard import until

if TYPE_CHECKING:
    from pathlib import Path

    from .yard import Yard


async def test_a_change_wakes_all_who_watch_the_folder_and_nobody_else(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    watcher = Watcher()
    with watcher.folder(here) as one, watcher.folder(here) as two, watcher.folder(there) as other:
        elsewhere = asyncio.create_task(other.wait())
        (here / "file").write_text("x")
        await asyncio.gather(one.wait(), two.wait())
        assert not elsewhere.done()
        (there / "file").write_text("x")
        await elsewhere
    watcher.close()


async def test_output_that_comes_fast_wakes_seldom_and_its_last_piece_all_the_same(tmp_path: Path) -> None:
    watcher, woken = Watcher(), 0

    async def count() -> None:
        nonlocal woken
        while True:
            await changes.wait()
            woken += 1

    with watcher.folder(tmp_path) as changes, (tmp_path / "log").open("ab", buffering=0) as log:
        counting, written = asyncio.create_task(count()), 0
        while written < 4_000 or woken < 2:
            log.write(b"x")
            written += 1
            await asyncio.sleep(0)
        # without a rest there is one for nearly each piece; how many a rest takes in is the machine's doing
        assert 2 <= woken < written / 4
        await asyncio.sleep(watch._REST_S * 3)
        before = woken
        log.write(b"last")
        await until(lambda: woken > before, 5)
        counting.cancel()
    watcher.close()


@pytest.mark.skipif(watch._libc is None, reason="there is no inotify here")
@pytest.mark.parametrize("telling", ["log", "other"])
async def test_a_narrow_watch_tells_once_and_then_of_all(tmp_path: Path, telling: str) -> None:
    watcher = Watcher()
    (tmp_path / "log").touch()
    with (
        (tmp_path / "log").open("wb", buffering=0) as log,
        (tmp_path / "record").open("wb", buffering=0) as record,
        watcher.folder(tmp_path, "log") as changes,
    ):
        record.write(b"x")
        assert changes.is_narrow and not await _is_woken(changes, 0.2)
        if telling == "log":
            log.write(b"x")
        else:
            (tmp_path / "other").write_text("x")
        assert await _is_woken(changes)
        changes.widen()
        for file in (record, log):
            file.write(b"y")
            assert await _is_woken(changes)
    watcher.close()


async def _is_woken(changes: Changes, within_s: float = 10.0) -> bool:
    waiting = asyncio.create_task(changes.wait())
    done, _ = await asyncio.wait([waiting], timeout=within_s)
    waiting.cancel()
    return bool(done)


async def test_who_comes_later_hears_of_all_and_so_does_the_first(tmp_path: Path) -> None:
    watcher = Watcher()
    (tmp_path / "log").touch()
    with watcher.folder(tmp_path, "log") as first, watcher.folder(tmp_path, "log") as second:
        for number in range(2):
            (tmp_path / "file").write_text(str(number))
            await asyncio.gather(first.wait(), second.wait())
    watcher.close()


async def test_a_wait_may_end_by_its_timeout(tmp_path: Path) -> None:
    watcher = Watcher()
    with watcher.folder(tmp_path) as changes:
        await changes.wait(0.01)
    watcher.close()


async def test_without_inotify_and_pidfd_a_timer_serves(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_libc", None)
    monkeypatch.setattr(processes, "handle_of", lambda pid: None)
    assert (await yard.run("echo out; exit 5")).exit_code == 5
    run = await yard.sh("echo ready; sleep 60")
    await run.says("ready")
    os.kill(run.shim, signal.SIGKILL)
    assert isinstance(await run.end(), Vanished)


async def test_observing_costs_no_descriptor_afterwards(yard: Yard) -> None:
    await yard.run("exit 0")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await yard.run("exit 0")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_output_is_told_while_it_comes(yard: Yard) -> None:
    run = await yard.sh("echo one; read line; echo two", stdin=b"")
    await run.says("one")
    await run.end()
    told = [event.up_to_offset for event in run.events if hasattr(event, "up_to_offset")]
    assert told == sorted(set(told)) and told[-1] == run.attempt.log.stat().st_size

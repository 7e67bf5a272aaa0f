"""A store whose disk has no room: what is refused, what is put off, and that all of it works again."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from relay.core.errors import Code, LocalFault
from relay.store.engine import Store
from relay.store.query import Tx
from relay.testing.bench_node import until
from tests.store.specimens import COUNT_EVENTS, add_event, program


def _add(number: int, size: int = 0) -> Any:
    return lambda tx: add_event(tx, number, size)


async def test_a_full_database_refuses_the_op_and_works_again_with_room(store: Store) -> None:
    """SQLITE_FULL by `max_page_count`: the real error, raised while an op runs."""
    pages = await store.write(lambda tx: int(tx.execute("PRAGMA page_count").fetchone()[0]))
    await store.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
    with pytest.raises(LocalFault) as caught:
        await store.write(_add(1, 100_000))
    assert caught.value.code is Code.DISK_FULL
    assert await store.write(_add(2)) == 1
    await store.write(lambda tx: tx.execute("PRAGMA max_page_count = 100000").fetchone())
    await store.write(_add(3, 100_000))
    assert await store.one(COUNT_EVENTS) == 2


@pytest.mark.parametrize("behind", [True, False])
async def test_what_may_wait_is_done_once_there_is_room(
    store: Store, monkeypatch: pytest.MonkeyPatch, behind: bool
) -> None:
    monkeypatch.setattr("relay.store.writer.AGAIN_S", 0.05)
    pages = await store.write(lambda tx: int(tx.execute("PRAGMA page_count").fetchone()[0]))
    await store.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())
    tried, loop = asyncio.Event(), asyncio.get_running_loop()

    def work(tx: Tx) -> None:
        loop.call_soon_threadsafe(tried.set)
        add_event(tx, 1, 100_000)

    store.write_lazily(work, behind=behind)
    await asyncio.wait_for(tried.wait(), 10)
    assert await store.one(COUNT_EVENTS) == 0
    await store.write(lambda tx: tx.execute("PRAGMA max_page_count = 100000").fetchone())
    await until(lambda: store.one(COUNT_EVENTS), 10)
    assert await store.write(_add(2)) == 2


async def _outcome(name: str, *words: str, prefix: tuple[str, ...] = ()) -> dict[str, Any]:
    child = program(name, *words, prefix=prefix)
    out, _ = await asyncio.to_thread(child.communicate, timeout=30)
    assert child.returncode == 0
    told: dict[str, Any] = json.loads(out)
    return told


def _check_outcome(told: dict[str, Any], code: Code) -> None:
    assert told["before"] == told["after"] == ["int"] * 16
    assert told["full"] == [str(code)] * 16
    assert (told["during"], told["count"], told["problems"]) == (16, 32, [])


async def test_a_failing_commit_is_told_to_the_whole_batch(tmp_path: Path) -> None:
    _check_outcome(await _outcome("failing_commit_program", str(tmp_path / "relay.db")), Code.STORE_FAULT)


def _may_mount() -> bool:
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "true")
    return shutil.which("unshare") is not None and subprocess.run(unshare, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="needs user namespaces to mount a small file system")
async def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    prefix = ("unshare", "--user", "--map-root-user", "--mount")
    _check_outcome(await _outcome("full_disk_program", str(tmp_path), prefix=prefix), Code.DISK_FULL)


@pytest.mark.skipif(not _may_mount(), reason="needs user namespaces to mount a small file system")
async def test_a_disk_that_takes_no_more_files_is_full(tmp_path: Path) -> None:
    """SQLite says that it cannot open one; how much space there is says nothing either."""
    child = program("no_files_program", str(tmp_path), prefix=("unshare", "--user", "--map-root-user", "--mount"))
    out, _ = await asyncio.to_thread(child.communicate, timeout=30)
    assert child.returncode == 0
    *refused, opened = json.loads(out)
    assert opened == []
    assert refused == [[str(Code.DISK_FULL), f"free some files, or more of a quota: df -i {tmp_path}; quota"]] * 4

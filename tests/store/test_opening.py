"""Opening: modes, one opener, damage, migrations, copies."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from relay.core.errors import Code, LocalFault
from relay.core.states import State
from relay.store import spawn_lists, words
from relay.store.engine import REPLACED, Store
from relay.store.migrations import KEPT_COPIES, MIGRATIONS, migrate, version
from relay.store.opening import connect, open_file
from tests.store.specimens import COUNT_EVENTS, add_event, insert, program, spawn_id

NEXT = (*MIGRATIONS, "CREATE TABLE later (a INTEGER) STRICT;")


async def _filled(path: Path) -> None:
    async with await Store.open(path) as store:
        for number in range(50):
            await store.write(lambda tx, number=number: add_event(tx, number, 1_000))  # type: ignore[misc]


async def _refusal(path: Path) -> LocalFault:
    with pytest.raises(LocalFault) as caught:
        await Store.open(path)
    return caught.value


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: _mode(path) for path in folder.iterdir()}


async def test_all_files_are_private(tmp_path: Path) -> None:
    (tmp_path / "relay.db").touch(mode=0o644)
    async with await Store.open(tmp_path / "relay.db") as store:
        await store.write(lambda tx: add_event(tx, 1))
        assert _modes(tmp_path) == dict.fromkeys(("relay.db", "relay.db-wal", "relay.db-shm", "relay.db.lock"), 0o600)


async def test_the_pragmas_that_durability_rests_on(store: Store) -> None:
    def look(tx: sqlite3.Connection) -> list[object]:
        return [tx.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert await store.write(look) == ["wal", 2]


async def test_a_second_opener_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    # an input of its own: with the test's, which may be at its end, it would hold nothing
    child = await asyncio.to_thread(program, "holding_program", str(path), stdin=subprocess.PIPE)
    assert child.stdout is not None and child.stdin is not None
    assert await asyncio.to_thread(child.stdout.readline) == "open\n"
    assert (await _refusal(path)).code is Code.ALREADY_RUNNING
    child.kill()
    await asyncio.to_thread(child.wait, 10)
    child.stdin.close()
    child.stdout.close()
    await _filled(path)


async def test_a_second_opener_in_this_process_is_refused(store: Store) -> None:
    assert (await _refusal(store.path)).code is Code.ALREADY_RUNNING


@pytest.mark.parametrize("content", [b"garbage " * 1_000, b"x", b"SQLite format 3\0" + b"\xff" * 8_000])
async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(content)
    fault = await _refusal(path)
    assert fault.code is Code.STORE_CORRUPT
    assert str(path) in fault.message
    assert "backups" in fault.hint
    assert "relay doctor" in fault.hint
    assert path.read_bytes() == content


async def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await _filled(path)
    path.write_bytes(path.read_bytes()[:6_000])
    assert (await _refusal(path)).code is Code.STORE_CORRUPT


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.close()
    fault = await _refusal(path)
    assert (fault.code, "another program" in fault.why) == (Code.STORE_CORRUPT, True)


async def test_damage_inside_is_found_by_the_check_and_told_without_traceback(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await _filled(path)
    data = bytearray(path.read_bytes())
    data[-30_000:] = b"\xa5" * 30_000
    path.write_bytes(data)
    async with await Store.open(path) as store:
        assert await store.integrity() != []
        with pytest.raises(LocalFault) as caught:
            await store.write(lambda tx: [add_event(tx, number, 3_000) for number in range(100)])
    assert caught.value.code is Code.STORE_CORRUPT


async def test_a_file_that_is_taken_away_is_not_called_intact(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    async with await Store.open(path) as store:
        path.unlink()
        assert await store.integrity() == [REPLACED]
        assert not path.exists(), "looking made an empty one"
        path.touch()
        assert await store.integrity() == [REPLACED]


async def test_a_missing_folder_is_a_fault(tmp_path: Path) -> None:
    assert (await _refusal(tmp_path / "none" / "relay.db")).code is Code.STORE_FAULT


async def test_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await _filled(path)
    connection = connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    fault = await _refusal(path)
    assert (fault.code, "999" in fault.why) == (Code.STORE_NEWER, True)


async def test_a_migration_copies_the_store_first(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await _filled(path)
    (tmp_path / "backups").mkdir(0o700)
    for end in ("part", "part-journal"):  # what a kill leaves of one
        (tmp_path / "backups" / f"relay-20231114T221319.000Z-v16.db.{end}").touch()
    connection = connect(path)
    migrate(connection, path, now=1_700_000_000_123, migrations=NEXT)
    assert version(connection) == len(NEXT)
    connection.close()
    (copy,) = (tmp_path / "backups").iterdir()
    assert (copy.name, _mode(copy)) == (f"relay-20231114T221320.123Z-v{len(MIGRATIONS)}.db", 0o600)
    assert _mode(copy.parent) == 0o700
    async with await Store.open(copy) as old:
        assert await old.one(COUNT_EVENTS) == 50


def test_the_words_of_an_older_store_are_kept(tmp_path: Path) -> None:
    connection = connect(tmp_path / "relay.db")
    migrate(connection, tmp_path / "relay.db", now=0, migrations=MIGRATIONS[:16])
    said = [words.SignedWord(spawn_id(n), 1, seq, State.RUNNING, 5, b"s", bytes([n])) for n in (2, 1) for seq in (1, 2)]
    assert all(words.keep(connection, each) for each in said)
    migrate(connection, tmp_path / "relay.db", now=1)
    assert [words.WORDS.all(connection, spawn=spawn_id(n)) for n in (2, 1)] == [said[:2], said[2:]]
    assert not words.keep(connection, said[0])
    connection.close()


def test_the_spawns_of_an_older_store_are_listed_as_before(tmp_path: Path) -> None:
    connection = connect(tmp_path / "relay.db")
    migrate(connection, tmp_path / "relay.db", now=0, migrations=MIGRATIONS[:18])
    for number, state in enumerate(State):
        insert(connection, number, state=state, created=number)
    migrate(connection, tmp_path / "relay.db", now=1)
    listed = spawn_lists.everything().all(connection, limit=10, **spawn_lists.Wanted().params())
    assert [(row.created, row.state) for row in listed] == [*reversed([*enumerate(State)])][:10]
    connection.close()


async def test_the_last_copies_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await _filled(path)
    connection = connect(path)
    for now in range(1, KEPT_COPIES + 3):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        migrate(connection, path, now=now * 1_000, migrations=(*MIGRATIONS, "SELECT 1;"))
    connection.close()
    kept = sorted(copy.name for copy in (tmp_path / "backups").iterdir())
    assert kept == [f"relay-19700101T00000{second}.000Z-v{len(MIGRATIONS)}.db" for second in (3, 4, 5)]


async def test_a_failing_migration_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    await _filled(path)
    connection = connect(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, now=0, migrations=(*MIGRATIONS, "CREATE TABLE half (a); nonsense;"))
    assert version(connection) == len(MIGRATIONS)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    assert not [*(tmp_path / "backups").iterdir()]  # each try would put one more in an earlier version's place
    connection.close()
    await _filled(path)


async def test_back_up_while_writing(store: Store, tmp_path: Path) -> None:
    await store.write(lambda tx: add_event(tx, 1))
    copy = tmp_path / "copies" / "copy.db"
    await asyncio.gather(store.back_up(copy), store.write(lambda tx: add_event(tx, 2)))
    await store.back_up(copy)
    opened = open_file(copy, 0)
    assert COUNT_EVENTS.one(opened.connection) == 2
    opened.connection.close()
    opened.lock.close()


async def test_integrity_of_a_sound_store(store: Store) -> None:
    assert await store.integrity() == await store.integrity(thorough=True) == []

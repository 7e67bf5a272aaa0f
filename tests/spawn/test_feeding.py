"""Typing into tasks: in order, once for each number, again after a crash, and no longer once it takes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.core.errors import LocalFault, Refused
from relay.core.states import State
from relay.spawn import feeding
from relay.spawn.door import DoorShut, InputClosed
from relay.spawn.feeding import MOST_UNFED, Feeding
from relay.store import questions, spawns
from relay.store.engine import Store
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import SpawnRow
from tests.store.specimens import insert, spawn_id, word

from .yard import until

SPAWN = spawn_id(1)


class Task:
    """What stands behind the door: it takes each number once, and nothing while it is shut."""

    def __init__(self) -> None:
        self.shut, self.closed = False, False
        self.tried = 0
        self.taken: dict[int, bytes] = {}

    async def feed(self, folder: Path, n: int, data: bytes) -> None:
        self.tried += 1
        if self.closed:
            raise InputClosed("it takes no input any more")
        if self.shut:
            raise DoorShut("it takes no input")
        assert folder.name == f"{SPAWN}-1"
        self.taken.setdefault(n, data)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with await Store.open(tmp_path / "relay.db") as store:
        yield Journal(store, None, lambda: 1_000)  # type: ignore[arg-type]


def made(journal: Journal, task: Task, tmp_path: Path) -> Feeding:
    return Feeding(journal, lambda spawn, n: tmp_path / f"{spawn}-{n}", task.feed)


async def begun(journal: Journal, state: State) -> SpawnRow:
    def decide(entry: Entry) -> SpawnRow:
        insert(entry.tx, 1, state=State.DELIVERED)
        spawns.apply_snapshot(entry.tx, word(1, 1, 1, state), 1)
        return spawns.require(entry.tx, SPAWN)

    return await journal.commit(decide)


async def left(journal: Journal) -> int:
    return await journal.store.write(lambda tx: questions.unfed_bytes(tx, SPAWN, 1))


async def test_what_was_accepted_is_typed_in_order(journal: Journal, tmp_path: Path) -> None:
    task, row = Task(), await begun(journal, State.RUNNING)
    typing = made(journal, task, tmp_path)
    for line in (b"a\n", b"b\n", b"c\n"):
        await journal.commit(lambda entry, line=line: typing.accept(entry, row, line))  # type: ignore[misc]
    await until(lambda: len(task.taken) == 3)
    assert task.taken == {1: b"a\n", 2: b"b\n", 3: b"c\n"}
    while await left(journal):
        pass
    typing.close()


async def test_a_crash_between_typing_and_its_note_types_nothing_twice(journal: Journal, tmp_path: Path) -> None:
    task, row = Task(), await begun(journal, State.RUNNING)
    await journal.commit(lambda entry: questions.type_in(entry.tx, row.id, 1, b"a\n", 1))
    task.taken[1] = b"a\n"  # an earlier run of the broker had typed it
    typing = made(journal, task, tmp_path)
    await typing.recover()
    while await left(journal):
        pass
    assert task.taken == {1: b"a\n"} and task.tried == 1
    typing.close()


async def test_a_task_that_is_being_started_is_waited_for(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "RETRY_S", 0.01)
    task, row = Task(), await begun(journal, State.STARTING)
    task.shut = True
    typing = made(journal, task, tmp_path)
    await journal.commit(lambda entry: typing.accept(entry, row, b"a\n"))
    await until(lambda: task.tried > 2)
    task.shut = False
    await until(lambda: task.taken)
    typing.close()


async def test_what_a_task_does_not_take_is_let_go(journal: Journal, tmp_path: Path) -> None:
    task, row = Task(), await begun(journal, State.RUNNING)
    task.shut = True
    typing = made(journal, task, tmp_path)
    await journal.commit(lambda entry: typing.accept(entry, row, b"a\n"))
    while await left(journal):
        pass
    assert not task.taken and task.tried == 1
    task.closed = True  # it was for want of room at its door, as where many look at it
    await journal.commit(lambda entry: typing.accept(entry, row, b"b\n"))
    while await left(journal):
        pass
    assert not task.taken and task.tried == 2
    with pytest.raises(LocalFault, match="takes no input any more"):
        await journal.commit(lambda entry: typing.accept(entry, row, b"c\n"))
    typing.close()


async def test_a_task_that_does_not_read_is_sent_no_more(journal: Journal, tmp_path: Path) -> None:
    row = await begun(journal, State.RUNNING)
    typing = made(journal, Task(), tmp_path)
    await journal.commit(lambda entry: questions.type_in(entry.tx, row.id, 1, bytes(MOST_UNFED), 1))
    with pytest.raises(Refused, match="has not read"):
        await journal.commit(lambda entry: typing.accept(entry, row, b"a\n"))

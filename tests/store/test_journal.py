"""What an entry has done ahead of its commit, and how it hears of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.core.errors import LocalFault
from relay.store.engine import FEW, Store
from relay.store.journal import Entry, Journal
from relay.store.query import Tx
from tests.store.specimens import Gate


class Course:
    """Entries that say what becomes of them, in order."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.said: list[str] = []

    def enter(self, entry: Entry) -> None:
        entry.then(lambda: self.said.append("follows"))
        entry.meanwhile(lambda: self.said.append("begins"), lambda so: self.said.append(f"decided {so}"))

    def fail(self, entry: Entry) -> None:
        self.enter(entry)
        raise ValueError

    def roll_back(self, entry: Entry) -> None:
        mark = entry.mark()
        self.enter(entry)
        entry.forget_since(mark)

    def undo_a_part(self, entry: Entry) -> None:
        with pytest.raises(ValueError), entry.undone_on_error():
            self.fail(entry)


@pytest.fixture
async def course(tmp_path: Path) -> AsyncIterator[Course]:
    async with await Store.open(tmp_path / "relay.db") as store:
        yield Course(Journal(store, None, lambda: 1_000))  # type: ignore[arg-type]


async def test_what_is_begun_ahead_hears_of_the_commit_before_all_that_follows(course: Course) -> None:
    await course.journal.commit(course.enter)
    assert course.said == ["begins", "decided True", "follows"]


async def test_an_entry_that_fails_begins_nothing_and_says_so(course: Course) -> None:
    with pytest.raises(ValueError):
        await course.journal.commit(course.fail)
    assert course.said == ["decided False"]


async def test_a_part_that_may_be_undone_begins_nothing_ahead(course: Course) -> None:
    await course.journal.commit(course.undo_a_part)

    def keep_a_part(entry: Entry) -> None:
        with entry.undone_on_error():
            course.enter(entry)

    await course.journal.commit(keep_a_part)
    assert course.said == ["decided True", "follows"]


async def test_what_fails_after_the_commit_keeps_nothing_else_from_being_done(
    course: Course, caplog: pytest.LogCaptureFixture
) -> None:
    def enter(entry: Entry) -> None:
        entry.then(lambda: course.said.remove("what is not there"))
        course.enter(entry)

    await course.journal.commit(enter)
    assert course.said == ["begins", "decided True", "follows"] and "ValueError" in caplog.text


async def test_one_of_many_that_fails_is_undone_by_itself_and_the_others_go_on(
    course: Course, caplog: pytest.LogCaptureFixture
) -> None:
    course.journal.connect(lambda recipient, outgoing: None, lambda event, subject: course.said.append(event.kind))

    def one(entry: Entry, of: str) -> None:
        entry.event(of, {})
        if of == "odd":
            entry.tx.execute("INSERT INTO meta VALUES (NULL, NULL)")

    def many(entry: Entry) -> list[bool]:
        return [entry.apart(of, lambda of=of: one(entry, of)) for of in ("first", "odd", "last")]  # type: ignore[misc]

    assert await course.journal.commit(many) == [True, False, True]
    assert course.said == ["first", "last"] and caplog.text.count("odd is passed over") == 1

    def none(entry: Entry) -> None:
        entry.apart("all", lambda: one(entry, "first"))
        raise ValueError

    with pytest.raises(ValueError):
        await course.journal.commit(none)
    assert course.said == ["first", "last"]


async def test_what_is_rolled_back_by_itself_begins_nothing(course: Course) -> None:
    await course.journal.commit(course.roll_back)
    assert course.said == []


async def test_where_the_commit_fails_what_was_begun_hears_of_it(course: Course) -> None:
    def break_it(tx: Tx) -> None:
        tx.execute("ROLLBACK")  # as SQLite itself does where the disk fails
        raise OSError

    gate = Gate(course.journal.store)
    await gate.held()
    both = [
        asyncio.ensure_future(course.journal.commit(course.enter)),
        asyncio.ensure_future(course.journal.store.write(break_it)),
    ]
    await asyncio.sleep(0)
    await gate.open()
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(each) for each in outcomes] == [LocalFault, OSError]
    assert course.said == ["begins", "decided False"]


async def test_a_caller_that_is_cancelled_keeps_nobody_from_hearing(course: Course) -> None:
    committing = asyncio.create_task(course.journal.commit(course.enter))
    await asyncio.sleep(0)
    committing.cancel()
    await course.journal.store.write(lambda tx: None)
    assert course.said == ["begins", "decided True", "follows"]


async def test_where_many_share_the_disk_nothing_is_begun_ahead(course: Course) -> None:
    gate = Gate(course.journal.store)
    await gate.held()
    many = [asyncio.ensure_future(course.journal.commit(course.enter)) for _ in range(3 * FEW)]
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*many)
    assert course.said.count("decided True") == course.said.count("follows") == 3 * FEW
    assert "begins" not in course.said

"""What is news of the roster, and that a lost piece of it is noticed by whoever hears the next."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import pytest

from relay.api.home import Home
from relay.broker.members import Members
from relay.broker.roster import RosterKeeper
from relay.broker.taking_in import Keys, take_in
from relay.core.roster import fold
from relay.core.statements import Statement
from relay.store.engine import Store
from relay.store.journal import Journal
from relay.store.query import Tx
from relay.testing.bench_node import identities, wall_ms
from relay.trust.founding import write_roster
from relay.trust.roster import admit, member_of
from relay.trust.workspace import Workspace

MEMBERS = 5


class Ground:
    """A keeper that knows the creator's own admission, and the admissions that follow."""

    def __init__(self, folder: Path, store: Store) -> None:
        keys = identities(MEMBERS)
        root = keys[0]
        workspace = Workspace.create(os.urandom(32), "roster", root, os.urandom(16))
        statements: list[Statement] = []
        for at, key in enumerate(keys):
            roster = fold(root.public, statements)
            statements.append(admit(root, workspace, roster, member_of(key, f"member-{at}", at), at))
        self.raws = [statement.raw for statement in statements]
        self.members = Members(root.id, "root", fold(root.public, []))
        journal = Journal(store, None, wall_ms)  # type: ignore[arg-type]
        journal.connect(lambda recipient, row: None, lambda event, subject: None)
        self.root, self.workspace, self.store = root, workspace, store
        self._kept_in = workspace, self.members, journal, Home(str(folder))
        self.keeper = self.another_keeper()

    def another_keeper(self) -> RosterKeeper:
        return RosterKeeper(*self._kept_in)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    store = await Store.open(tmp_path / "relay.db")
    yield Ground(tmp_path, store)
    await store.close()


def _verifications(home: Home, keys: Keys, tx: Tx) -> tuple[int, list[Statement]]:
    """How often a start verifies a statement, on the thread of the store; and what it hands on."""
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_name == "verify_statement"

    sys.setprofile(called)
    try:
        _, _, read = take_in(tx, home, keys)
    finally:
        sys.setprofile(None)
    return count, read


async def test_a_start_verifies_each_statement_once(ground: Ground, tmp_path: Path) -> None:
    home, keys = Home(str(tmp_path)), Keys(ground.root, ground.workspace)
    write_roster(home, ground.raws[:3], {})
    for of_file in (3, MEMBERS):  # at the second start two stand in the file alone
        write_roster(home, ground.raws[:of_file], {})
        count, read = await ground.store.write(lambda tx: _verifications(home, keys, tx))
        assert count == len(read) == of_file
    sys.setprofile(lambda *told: calls.append(told[0].f_code.co_name))
    calls: list[str] = []
    await ground.another_keeper().load(read)
    sys.setprofile(None)
    assert calls and "verify_statement" not in calls


async def test_what_is_new_is_news_once(ground: Ground) -> None:
    keeper = ground.keeper
    assert await keeper.heard(ground.raws[:2])
    assert keeper.take_news() == ground.raws[:2]
    assert not await keeper.heard(ground.raws[:2]) and keeper.take_news() == []
    assert await keeper.heard(ground.raws[:3])
    assert keeper.take_news() == ground.raws[2:3]


async def test_what_was_kept_is_held_after_a_restart(ground: Ground) -> None:
    await ground.keeper.heard(ground.raws[:-1])
    again = ground.another_keeper()
    assert len(again.book) == 0
    await again.load()
    assert again.book.sums == ground.keeper.book.sums and len(again.book) == MEMBERS - 1


async def test_a_gap_is_noticed_and_closed(ground: Ground) -> None:
    keeper, raws = ground.keeper, ground.raws
    assert await keeper.heard(raws[:2]) and not keeper.has_gap
    # what follows the missing one is left out, and comes again with it
    assert not await keeper.heard(raws[3:]) and keeper.has_gap
    assert len(ground.members.roster.members) == 2
    assert await keeper.heard(raws) and not keeper.has_gap
    assert len(ground.members.roster.members) == MEMBERS

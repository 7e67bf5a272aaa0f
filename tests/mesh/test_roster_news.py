"""What is news of the roster, and that a lost piece of it is noticed by whoever hears the next."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.api.home import Home
from relay.broker.members import Members
from relay.broker.roster import RosterKeeper
from relay.core.roster import fold
from relay.core.statements import Statement
from relay.store.engine import Store
from relay.store.journal import Journal
from relay.testing.bench_node import identities, wall_ms
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
        self._kept_in = workspace, self.members, journal, Home(str(folder))
        self.keeper = self.another_keeper()

    def another_keeper(self) -> RosterKeeper:
        return RosterKeeper(*self._kept_in)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    store = await Store.open(tmp_path / "relay.db")
    yield Ground(tmp_path, store)
    await store.close()


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

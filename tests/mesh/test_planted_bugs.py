"""The real inbox with a bug planted in it: the scenario that the real one passes finds each of them.

    receipt before the commit       what was receipted is lost with the commit
    dedupe outside the transaction  what was remembered and not acted on never will be
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.broker.inbox import Inbox, Opened
from relay.core.envelope import Header
from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import inbox as store_inbox
from relay.store.inbox import Taken
from relay.store.journal import Entry
from relay.testing.bench_node import BenchNode, drained
from tests.mesh.conftest import Pair

TakeDurable = Callable[[Inbox, list[Opened], list[Header], BrokerId], Awaitable[None]]
_honest: TakeDurable = Inbox._take_durable


async def _receipt_first(self: Inbox, durable: list[Opened], done: list[Header], giver: BrokerId) -> None:
    for each in durable:
        self._answer(each.header.origin, Kind.RECEIPT, {"ids": [each.header.id]}, giver)
    await _honest(self, durable, done, giver)


async def _dedupe_apart(self: Inbox, durable: list[Opened], done: list[Header], giver: BrokerId) -> None:
    def remember(entry: Entry) -> list[Opened]:
        found = []
        for each in durable:
            header = each.header
            taken = store_inbox.take(entry.tx, header.origin, header.id, each.envelope.digest, header.expires)
            found += [each] if taken is not Taken.AGAIN else []
        return found

    def act(entry: Entry) -> None:
        for each in fresh:
            self._acts[each.kind](entry, each)

    fresh = await self._journal.commit(remember)
    await self._journal.commit(act)
    for each in durable:
        done.append(each.header)
        self._answer(each.header.origin, Kind.RECEIPT, {"ids": [each.header.id]}, giver)


def _failing(node: BenchNode, monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> None:
    """Have some of the next commits of a node fail, by their numbers."""
    submit, count = node.store.submit, 0

    def counted(*what: Any) -> asyncio.Future[Any]:
        nonlocal count
        count += 1
        if count not in calls:
            return submit(*what)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_exception(LocalFault("the disk is full"))
        return done

    monkeypatch.setattr(node.store, "submit", counted)


async def _each_once_though_commits_fail(pair: Pair, monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> bool:
    """Whether what the origin holds for done was acted on exactly once."""
    one, other = pair
    _failing(other, monkeypatch, calls)
    await one.post(other.id, "an-operation")
    await drained(one)
    return await other.acted() == ["an-operation"]


FAILURES = [{1}, {2}, {1, 2}]


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize("calls", FAILURES, ids=str)
async def test_the_real_inbox_passes(pair: Pair, monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> None:
    assert await _each_once_though_commits_fail(pair, monkeypatch, calls)


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize(("bug", "calls"), [(_receipt_first, {1}), (_dedupe_apart, {2})])
async def test_a_planted_bug_is_found(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, bug: TakeDurable, calls: set[int]
) -> None:
    monkeypatch.setattr(Inbox, "_take_durable", bug)
    assert not await _each_once_though_commits_fail(pair, monkeypatch, calls)

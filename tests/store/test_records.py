from __future__ import annotations

import sqlite3

import pytest

from relay.core.ids import BrokerId
from relay.store import records
from relay.store.engine import Store
from relay.store.records import RecordRow

VPS, MINI = BrokerId("v" * 56), BrokerId("m" * 56)


def row(broker: BrokerId = VPS, incarnation: int = 1, seq: int = 1, expires: int = 100) -> RecordRow:
    return RecordRow(broker, incarnation, seq, expires, 50, f"{incarnation}.{seq}".encode())


async def test_the_higher_record_stays(store: Store) -> None:
    for new, taken in ((row(), True), (row(), False), (row(seq=3), True), (row(seq=2), False), (row(VPS, 2, 1), True)):
        assert await store.write(lambda tx, new=new: records.put(tx, new)) is taken  # type: ignore[misc]
    assert await store.all(records.ALL) == [row(VPS, 2, 1)]


async def test_what_has_expired_and_who_was_put_out_goes(store: Store) -> None:
    await store.write(lambda tx: [records.put(tx, each) for each in (row(), row(MINI, expires=200))])
    assert await store.write(lambda tx: records.purge(tx, 100)) == 1
    assert [each.broker for each in await store.all(records.ALL)] == [MINI]
    assert await store.write(lambda tx: records.forget(tx, MINI)) is True
    assert await store.write(lambda tx: records.forget(tx, MINI)) is False


async def test_a_record_that_is_too_long_is_not_kept(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        await store.write(lambda tx: records.put(tx, RecordRow(VPS, 1, 1, 100, 50, bytes(5_000))))


async def test_a_member_has_one_other_name(store: Store) -> None:
    await store.write(lambda tx: records.rename(tx, VPS, "big"))
    await store.write(lambda tx: records.rename(tx, VPS, "bigger"))
    await store.write(lambda tx: records.rename(tx, MINI, "bigger"))
    assert await store.all(records.ALIASES) == [(MINI, "bigger")]
    await store.write(lambda tx: records.rename(tx, MINI, None))
    assert await store.all(records.ALIASES) == []

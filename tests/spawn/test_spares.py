"""Spare folders: taken by a rename, made again, and given their name back when a power cut took it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.spawn.attempt import Attempt
from relay.spawn.shim import folder as layout
from relay.spawn.shim import record
from relay.spawn.spares import KEEP, MOST, PREFIX, Spares
from tests.spawn.yard import until

NAME = "a" * 16 + "-1"
INTENT: dict[str, object] = {"shim": 1, "ticks": 1, "boot": "another", "protocol": 1, "name": NAME, "at": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def _write(folder: Path, slot: int, fields: dict[str, object]) -> None:
    fd = os.open(folder / layout.RECORD, os.O_RDWR)
    try:
        record.write_slot(fd, slot, fields, durable=False)
    finally:
        os.close(fd)


def _spare(root: Path, name: str) -> Path:
    return Attempt.prepare(root, PREFIX + name).folder


def _left(root: Path) -> list[Path]:
    return list(root.glob(f"{PREFIX}*"))


async def test_a_spare_is_taken_by_its_new_name_and_made_again(root: Path) -> None:
    spares = Spares(root)
    spares.top_up()
    await until(lambda: len(_left(root)) == KEEP)
    await until(lambda: spares.take(NAME))
    assert Attempt(root / NAME).read().intent is None and (root / NAME / layout.LOCK).exists()
    await until(lambda: len(_left(root)) == KEEP)


async def test_who_takes_many_finds_more_of_them(root: Path) -> None:
    spares = Spares(root)
    spares.top_up()
    await until(lambda: len(_left(root)) == KEEP)
    for n in range(KEEP):
        await until(lambda n=n: spares.take(f"{'b' * 16}-{n}"))  # type: ignore[misc]
    await until(lambda: KEEP < len(_left(root)) <= MOST)


async def test_a_closed_broker_makes_none(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest may be over when nothing can be made any more."""
    monkeypatch.setattr("relay.spawn.spares.REST_S", 0.0)
    spares = Spares(root)
    spares.top_up()
    await until(lambda: len(_left(root)) == KEEP)
    await until(lambda: spares.take(NAME))
    spares.close()
    spares.top_up()
    assert spares._rest is None and spares._making is None and len(_left(root)) < KEEP


async def test_an_attempt_that_has_a_folder_keeps_it(root: Path) -> None:
    Attempt.prepare(root, NAME)
    _write(root / NAME, record.INTENT, INTENT)
    spares = Spares(root)
    _spare(root, "b")
    spares.reclaim()
    assert not spares.take(NAME)
    assert Attempt(root / NAME).read().intent is not None


async def test_a_name_that_a_power_cut_took_is_given_back(root: Path) -> None:
    """Its intent says whose it was: it must never count as one that has started nothing."""
    _write(_spare(root, "c"), record.INTENT, INTENT)
    Spares(root).reclaim()
    assert not _left(root)
    assert Attempt(root / NAME).read().intent is not None


async def test_what_cannot_be_a_spare_is_removed_and_a_blank_one_used(root: Path) -> None:
    _write(_spare(root, "stopped"), record.STOP, {"at": 1, "by": ""})
    _write(_spare(root, "odd"), record.INTENT, INTENT | {"name": "../../etc"})
    (root / f"{PREFIX}half").mkdir()
    (_spare(root, "written") / layout.LOG).write_bytes(b"of another task")
    blank = _spare(root, "blank")
    spares = Spares(root)
    spares.reclaim()
    assert _left(root) == [blank]
    assert spares.take(NAME) and not blank.exists()


async def test_a_spare_that_somebody_looks_at_still_is_given_to_who_waits_for_its_lock_alone(root: Path) -> None:
    """A shim that does not would find the lock taken, and the attempt be fenced though nothing was wrong with it."""
    spare = _spare(root, "looked-at")
    spares = Spares(root)
    spares.reclaim()
    lock = layout.take_lock(str(spare))
    assert lock is not None and not spares.take(NAME) and spares.hold() is None
    os.close(lock)
    assert not spares.take(NAME)
    held = spares.hold()
    assert held is not None and held.take(NAME)
    held.release()

"""Attempts whose ends are taken up twice, as after a failure of the work on them, are looked at twice."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from relay.spawn import outliving
from relay.spawn.outliving import Outliving
from relay.spawn.shim import folder as layout

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _held(folder: Path) -> int:
    folder.mkdir()
    (folder / layout.LOCK).touch()
    lock = layout.take_lock(str(folder))
    assert lock is not None
    return lock


async def test_who_ends_twice_keeps_nobody_from_being_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outliving, "AFTER_S", 0.02)
    looking = Outliving()
    for name, times in (("twice", 2), ("next", 1)):
        lock = _held(tmp_path / name)
        for _ in range(times):
            looking.look_at(tmp_path / name, os.getpid(), launched=False)
        assert looking.shims == {name: os.getpid()}
        os.close(lock)
        async with asyncio.timeout(10):
            while looking.shims:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)
    looking.close()

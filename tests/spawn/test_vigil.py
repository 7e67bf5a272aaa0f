"""The watchdog's timer: it asks once, counts from the last output, and is silent itself once the attempt has ended."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from relay.spawn.vigil import Vigil

from .yard import until


class Told:
    """What a vigil has said."""

    def __init__(self) -> None:
        self.silent: list[int] = []
        self.spoke: list[int] = []

    def vigil(self, seconds: float | None) -> Vigil:
        return Vigil(seconds, self.silent.append, self.spoke.append)


async def test_silence_is_told_with_the_length_of_the_log() -> None:
    told = Told()
    vigil = told.vigil(0.05)
    vigil.begin()
    vigil.heard(7)
    await until(lambda: told.silent)
    assert told.silent[0] == 7 and not told.spoke
    vigil.over()


async def test_output_is_told_only_while_a_person_is_asked() -> None:
    told = Told()
    vigil = told.vigil(30.0)
    vigil.begin()
    vigil.heard(7)
    assert not told.spoke
    vigil.asks(7)
    assert not told.spoke
    vigil.heard(9)
    assert told.spoke == [9]
    vigil.goes_on()
    vigil.heard(11)
    assert told.spoke == [9]
    vigil.over()


async def test_what_was_written_while_it_was_being_asked_is_told() -> None:
    told = Told()
    vigil = told.vigil(30.0)
    vigil.begin()
    vigil.heard(9)
    vigil.asks(7)
    assert told.spoke == [9]
    vigil.over()


async def test_it_counts_on_over_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 5)
    os.utime(log, (time.time() - 3600, time.time() - 3600))
    told = Told()
    vigil = told.vigil(1800.0)
    vigil.begin(log)
    await until(lambda: told.silent)
    assert told.silent == [5]
    vigil.over()


async def test_it_asks_nothing_where_none_is_set_nor_after_the_end() -> None:
    told = Told()
    never, over = told.vigil(None), told.vigil(0.01)
    never.begin()
    over.begin()
    over.over()
    over.goes_on()
    turned = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, turned.set)
    await turned.wait()
    assert not told.silent

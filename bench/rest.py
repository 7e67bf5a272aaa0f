"""Waiting until a new file costs what it should.

ext4 without a journal gives no inode again for minutes after its file was deleted, and looks at all of these for each
new file: after a test run a file costs 0.4 ms instead of 0.03, an attempt has five, and ssh makes none (measured: 64
spawns in flight at 0.91 x of what ssh does, and at 1.09 x after five minutes).
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

FILES = 50
AT_REST = 6.0
"""How many links a new file may cost: the name is the same work, and what is beyond it is the inode's."""
MOST_S = 330.0
BETWEEN_S = 15.0


def await_rest(folder: Path, say: Callable[[str], None]) -> bool:
    """Wait until files are made in `folder` as on a file system where nothing was deleted lately; `MOST_S` at most.

    Args:
        folder: where; what is made there to find out stays, so that nothing more is deleted.
        say: told what is waited for.

    Returns:
        False where it did not come to rest in that time.
    """
    end = time.monotonic() + MOST_S
    while (links := _cost_in_links(folder)) > AT_REST:
        if time.monotonic() > end:
            return False
        say(f"nothing yet: many files were deleted lately, and a new one costs {links:.0f} times a link's price")
        time.sleep(BETWEEN_S)
    return True


def _cost_in_links(folder: Path) -> float:
    # as attempts are made: in folders of their own, two below a home, for where an inode lies is its folder's to say
    home = tempfile.mkdtemp(prefix="rest-", dir=folder)
    paths = [f"{home}/attempts/{at}" for at in range(FILES)]
    os.mkdir(f"{home}/attempts")
    made = statistics.median([_seconds(partial(_make, path)) for path in paths])
    linked = [_seconds(partial(os.link, f"{path}/record", f"{path}/link")) for path in paths]
    return made / statistics.median(linked) / 2


def _make(path: str) -> None:
    os.mkdir(path)
    os.close(os.open(f"{path}/record", os.O_WRONLY | os.O_CREAT))


def _seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started

"""Removing what tasks may have laid hands on: `shutil.rmtree` waits for ever on a pipe in the place of a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

OnError = Callable[[Callable[..., object], str, object], object]


def take_away(path: Path, *, ignore_errors: bool = False, onerror: OnError | None = None) -> None:
    """Remove a folder with all that is in it, or what else there is.

    Args:
        path: of what.
        ignore_errors, onerror: as `shutil.rmtree` has them.

    Raises:
        OSError: it is not there, or not all of it can be removed; neither where errors are ignored.
    """
    with contextlib.suppress(OSError) if ignore_errors else contextlib.nullcontext():
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            path.unlink()
            return
    shutil.rmtree(path, ignore_errors=ignore_errors, onerror=onerror)

"""The files that a repository's configuration includes: git reads each of them before it does anything else.

Read here without git, which would wait at a pipe for as long as it may run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

MOST = 1_000
_PATH = re.compile(rb"(?im)(?:^|\])[ \t]*path[ \t]*=[ \t]*(.*)$")


def included(config: Path, read: bytes) -> Iterator[Path]:
    """Each path that a configuration may include; whether its conditions hold, and what section it is in, is not asked.

    Args:
        config: the file.
        read: its content.
    """
    if b"include" not in read.lower():
        return
    for found in _PATH.findall(re.sub(rb"\\\r?\n", b"", read))[:MOST]:
        if (said := _value(found)) and b"\0" not in said:
            yield config.parent / os.path.expanduser(os.fsdecode(said))


def _value(raw: bytes) -> bytes:
    """A value as git reads it: without quotes and comments."""
    value, is_quoted, at = bytearray(), False, 0
    while at < len(raw):
        letter = raw[at : at + 1]
        if letter == b'"':
            is_quoted = not is_quoted
        elif letter in (b"#", b";") and not is_quoted:
            break
        else:
            at += letter == b"\\"
            value += raw[at : at + 1]
        at += 1
    return bytes(value).strip()

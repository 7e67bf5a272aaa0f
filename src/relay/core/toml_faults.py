"""The line of a fault that the TOML reader found: it does not name one where the file ends too early."""

from __future__ import annotations

import re

_LINE = re.compile(r"at line (\d+)")
_AT_END = " (at end of document)"


def line_of_fault(text: str, fault: Exception) -> int:
    """The line (from 1) to look at: the one the reader names, else the last one in which something stands.

    Args:
        text: the whole file.
        fault: what `tomllib` raised on it.
    """
    named = _LINE.search(str(fault))
    if named:
        return int(named[1])
    return max((number for number, line in enumerate(text.splitlines(), 1) if line.strip()), default=1)


def why_of_fault(fault: Exception) -> str:
    """What is wrong, in the reader's words; that the file ends there is said so."""
    words = str(fault) or type(fault).__name__
    if words.endswith(_AT_END):
        return f"{words.removesuffix(_AT_END)}, and the file ends there"
    return words

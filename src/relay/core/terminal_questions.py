"""What a program asks its terminal (where the cursor is, what it can, its colours), and when it is too late to answer.

A terminal types its answer. What is shown again later would be answered again, into a program that awaits none by
then: it reads the answer as keys.
"""

from __future__ import annotations

import re

ANSWERED_WITHIN_MS = 5_000
"""A program that asks waits for less than that."""
_CSI, _OSC, _DCS = rb"(?:\x1b\[|\xc2\x9b)", rb"(?:\x1b\]|\xc2\x9d)", rb"(?:\x1bP|\xc2\x90)"
_END = rb"(?:\x07|\x1b\\|\xc2\x9c)"
_QUESTION = re.compile(
    b"|".join(
        (
            rb"\x05|\x1bZ",
            # what it is, where its cursor is, how large it is, how it is set, its keys, its version
            _CSI + rb"(?:[>=]?[0-9;]*c|\??[0-9;]*n|(?:1[1-9]|2[01])(?:;[0-9]*)*t|\??[0-9;]*\$p|\?u|>[0-9]*q|[01]?x)",
            # its colours, and what was copied
            _OSC + rb"[0-9]+(?:;[^\x07\x1b\xc2;]*)*;\?" + _END,
            # its settings, and what it can
            _DCS + rb"[$+]q[^\x07\x1b\xc2]*" + _END,
        )
    )
)


def without_stale_questions(data: bytes, written: int, now: int) -> bytes:
    """What a task wrote to its terminal, without the questions that nobody awaits an answer to any more.

    Args:
        data: what it wrote.
        written, now: when that was, and when it is shown, ms.
    """
    return data if now - written < ANSWERED_WITHIN_MS else _QUESTION.sub(b"", data)

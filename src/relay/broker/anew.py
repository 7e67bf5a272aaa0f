"""The command that asks once more for what has ended, as it was asked for but for what it ran out of."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

from relay.core.errors import Code
from relay.core.wishes import LIMIT_FAILS
from relay.store.spawn_rows import SpawnRow

MAX_TASK_SHOWN = 200
LONGEST_S = 30 * 86_400
UNKNOWN_S = 3_600  # where its target's own default was what it ran into
MIB = 1 << 20


def with_more(row: SpawnRow, broker: str) -> str:
    """What to type so that it has twice the time, or the memory, that it ran out of.

    Args:
        row: a spawn that has ended.
        broker: its target's name.

    Returns:
        The command; empty where it ran out of neither, or where no line that can be typed says all that it was.
    """
    code, memory = (row.error or {}).get("code"), row.wishes.memory
    if not _can_be_typed(row):
        return ""
    if code == Code.TASK_TIMED_OUT:
        return _line(row, broker, ["--timeout", f"{min(math.ceil(2 * (row.timeout_s or UNKNOWN_S)), LONGEST_S)}s"])
    if code == Code.OUT_OF_MEMORY and memory:
        more = ["--memory", f"{-(-2 * memory // MIB)}MiB"]
        return _line(row, broker, more + ([] if row.timeout_s is None else ["--timeout", f"{row.timeout_s:g}s"]))
    return ""


def _can_be_typed(row: SpawnRow) -> bool:
    said = row.argv or (row.task,)
    plain = all(each.isprintable() and "relay " not in each for each in (*said, row.cwd or "", *row.labels.values()))
    is_itself = bool(row.argv) or not row.task.startswith(("-", "@"))
    return plain and is_itself and sum(map(len, said)) <= MAX_TASK_SHOWN and row.wishes.place is None


def _line(row: SpawnRow, broker: str, more: Sequence[str]) -> str:
    words = ["relay", "spawn", row.name, row.agent, *(() if row.argv else (row.task,)), "--broker", broker, *more]
    for flag, value in _asked(row):
        words += [] if value is None or value is False else [flag] if value is True else [flag, str(value)]
    return shlex.join([*words, *(("--", *row.argv) if row.argv else ())])


def _asked(row: SpawnRow) -> list[tuple[str, object]]:
    wishes = row.wishes
    return [
        ("--cwd", row.cwd),
        ("--mode", None if row.mode == "edit" else row.mode),
        ("--model", row.model),
        *(("--label", f"{key}={value}") for key, value in row.labels.items()),
        ("--priority", wishes.priority or None),
        ("--retries", wishes.retries or None),
        *(("--collect", each) for each in wishes.collect),
        ("--tty", wishes.tty),
        ("--stdin", wishes.stdin),
        ("--cpus", wishes.cpus),
        ("--keep-awake", wishes.keep_awake),
        ("--max-turns", wishes.max_turns),
        ("--on-limit", None if wishes.on_limit == LIMIT_FAILS else wishes.on_limit),
    ]

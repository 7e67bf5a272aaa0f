"""The loop of a peer's program: a line on standard input is a question, a line on standard output its answer.

once                     does one job                        -> ok
many COUNT IN_FLIGHT     does COUNT, IN_FLIGHT at a time     -> jobs a second
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

_Pending = TypeVar("_Pending")


def _many(start: Callable[[], _Pending], finish: Callable[[_Pending], int], count: int, in_flight: int) -> float:
    pending: deque[_Pending] = deque()
    began = time.perf_counter()
    for _ in range(count):
        if len(pending) == in_flight:
            _check(finish(pending.popleft()))
        pending.append(start())
    while pending:
        _check(finish(pending.popleft()))
    return count / (time.perf_counter() - began)


def _check(status: int) -> None:
    if status != 0:
        raise RuntimeError(f"a job ended with {status}")


def serve(start: Callable[[], _Pending], finish: Callable[[_Pending], int]) -> None:
    """Answer until standard input ends.

    Args:
        start: begins a job.
        finish: waits for it; its exit status.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "once":
            _check(finish(start()))
            print("ok", flush=True)
        else:
            count, in_flight = map(int, numbers)
            print(_many(start, finish, count, in_flight), flush=True)

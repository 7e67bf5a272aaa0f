"""A broker that kills itself before or after a chosen durable step. The steps are in `crash_points.POINTS`.

    python -m relay.testing.crashing --point NAME --when before --nth 2 -- --home DIR ...

What follows `--` goes to `relay.daemon`. The steps are wrapped from outside, in this process only: production
code has no hooks. A step inside a transaction counts when its batch is committed, so `before` is the last
moment at which nothing of it is on the disk, and `after` the first at which all of it is.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

from relay.store.engine import Store
from relay.testing.crash_points import POINTS, Point


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Trap:
    """Counts a step and says when it is the one."""

    def __init__(self, when: str, nth: int) -> None:
        self.when = when
        self._left = nth

    def reached(self) -> bool:
        """One more of the steps is due; whether it is the chosen one."""
        self._left -= 1
        return self._left == 0

    def spring(self, moment: str) -> None:
        """Die, if this is the moment."""
        if moment == self.when:
            _die()


class _Tripwire:
    """The writer's connection, with a trap at the COMMIT of the batch that holds the chosen step."""

    def __init__(self, connection: Any, trap: _Trap) -> None:
        self._connection = connection
        self._trap = trap
        self.armed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        """`sqlite3.Connection.execute`."""
        if not (self.armed and sql == "COMMIT"):
            return self._connection.execute(sql, *values)
        self._trap.spring("before")
        self._connection.execute(sql, *values)
        self._trap.spring("after")
        return None


def _resolve(point: Point) -> tuple[Any, str]:
    """The object that holds the step's function, and the function's name there."""
    holder: Any = importlib.import_module(point.module)
    *path, name = point.function.split(".")
    return functools.reduce(getattr, path, holder), name


def _replace(point: Point, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    holder, name = _resolve(point)
    raw = inspect.getattr_static(holder, name)
    wrapped = wrap(raw.__func__ if isinstance(raw, classmethod) else raw)
    setattr(holder, name, classmethod(wrapped) if isinstance(raw, classmethod) else wrapped)


def _trap_call(point: Point, trap: _Trap) -> None:
    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            chosen = trap.reached()
            if chosen:
                trap.spring("before")
            answer = await function(*args, **kwargs)
            if chosen:
                trap.spring("after")
            return answer

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            chosen = trap.reached()
            if chosen:
                trap.spring("before")
            answer = function(*args, **kwargs)
            if chosen:
                trap.spring("after")
            return answer

        return awaited if inspect.iscoroutinefunction(function) else called

    _replace(point, wrap)


def _trap_commit(point: Point, trap: _Trap) -> None:
    wires: list[_Tripwire] = []
    opened_by = Store.__init__

    def open_store(self: Store, path: Any, opened: Any, readers: Any) -> None:
        wires.append(_Tripwire(opened.connection, trap))
        # the value is frozen, and its connection is the one place that every write goes through
        object.__setattr__(opened, "connection", wires[-1])
        opened_by(self, path, opened, readers)

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            if trap.reached():
                wires[-1].armed = True
            return function(*args, **kwargs)

        return called

    Store.__init__ = open_store  # type: ignore[method-assign]
    _replace(point, wrap)


def main() -> None:
    """Set the trap, then be the broker."""
    parser = argparse.ArgumentParser(prog="relay.testing.crashing")
    parser.add_argument("--point", required=True, choices=sorted(POINTS))
    parser.add_argument("--when", required=True, choices=("before", "after"))
    parser.add_argument("--nth", type=int, default=1)
    at = sys.argv.index("--")
    chosen = parser.parse_args(sys.argv[1:at])
    point, trap = POINTS[chosen.point], _Trap(chosen.when, chosen.nth)
    (_trap_commit if point.in_transaction else _trap_call)(point, trap)
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

"""Which of several interpreters the measurements are made with: the fastest that can run Relay.

One and the same version of Python differs by half with how it was built: a distribution's is built with profiles and
optimised as a whole, one that was compiled with the defaults is not (measured: 41 ms and 62 ms for such a loop). What
stands beside Relay, ssh first of all, comes as its distribution built it.

Usage: python bench/interpreter.py PYTHON...    prints the path of one of them
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

TRIAL = """
import ensurepip, sys, time, venv
if sys.version_info < (3, 11): sys.exit(1)
class Thing:
    def __init__(self, n): self.n = n
    def plus(self, n): return self.n + n
def loop():
    total = 0
    for n in range(20000):
        total += Thing(n).plus(n); pair = {"n": n, "total": total}; total += len((n, pair["n"]))
took = []
for _ in range(9):
    began = time.perf_counter(); loop(); took.append(time.perf_counter() - began)
print(min(took))
"""
CLEARLY = 0.9
"""The share of the time of an earlier one below which a later one is chosen."""


def seconds(python: str) -> float | None:
    """How long the loop takes there; None where Relay does not run with it, or no environment can be made."""
    done = subprocess.run([python, "-I", "-c", TRIAL], capture_output=True, text=True, timeout=60, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def fastest(pythons: list[str], measured: Callable[[str], float | None] = seconds) -> str | None:
    """The path of the fastest by what is `measured` of each; the first of those that are about as fast."""
    chosen: tuple[str, float] | None = None
    for path in filter(None, map(shutil.which, pythons)):
        took = measured(path)
        if took is not None and (chosen is None or took < chosen[1] * CLEARLY):
            chosen = path, took
    return None if chosen is None else chosen[0]


if __name__ == "__main__":
    found = fastest(sys.argv[1:])
    print(found or sys.argv[1])

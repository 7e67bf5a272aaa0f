"""A broker whose wall clock is wrong, or far ahead; with 0, one that only tidies and sends again sooner.

    python -m relay.testing.clocked --ahead-s 3456000 -- --home DIR ...

What follows `--` goes to `relay.daemon`; with `--tidies` it tidies without a pause. SIGUSR1 sets the clock right,
SIGUSR2 wrong again. Only this process's `time.time` and `time.time_ns` are shifted; monotonic time runs as it does, but
that the broker tidies each second and sends again after two, so that no test waits for it.
Production code has no hooks for this.
"""

from __future__ import annotations

import argparse
import runpy
import signal
import sys
import time

from relay.broker import housekeeping
from relay.core import delivery

_real_ns = time.time_ns


def shift(seconds: int) -> None:
    """Have this process's wall clock show another time from now on."""
    ahead = seconds * 1_000_000_000
    time.time_ns = lambda: _real_ns() + ahead
    time.time = lambda: (_real_ns() + ahead) / 1e9


def launcher(ahead_s: int, *, tidies: bool = False) -> tuple[str, ...]:
    """What `Node.launcher` is for a broker with such a clock; one that `tidies` does nothing else between two looks."""
    more = ("--tidies",) if tidies else ()
    return (sys.executable, "-m", "relay.testing.clocked", "--ahead-s", str(ahead_s), *more, "--")


def main() -> None:
    """Shift the clock, then be the broker."""
    parser = argparse.ArgumentParser(prog="relay.testing.clocked")
    parser.add_argument("--ahead-s", type=int, required=True)
    parser.add_argument("--tidies", action="store_true")
    at = sys.argv.index("--")
    asked = parser.parse_args(sys.argv[1:at])
    housekeeping.SWEEP_EVERY_S = housekeeping.LOOK_EVERY_S = 0.0 if asked.tidies else 1.0
    delivery.RESEND_AFTER = 2_000
    shift(asked.ahead_s)
    signal.signal(signal.SIGUSR1, lambda *_: shift(0))
    signal.signal(signal.SIGUSR2, lambda *_: shift(asked.ahead_s))
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

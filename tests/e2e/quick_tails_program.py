"""A broker that tells and takes the ends of running transcripts every 0.2 s. What follows goes to `relay.daemon`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from relay.broker import running_tails

LAUNCHER = (sys.executable, str(Path(__file__)))


def main() -> None:
    """Be quick, then be the broker."""
    running_tails.EVERY_S, running_tails.LEAST_S, running_tails.LAST_AFTER_S = 0.2, 0.0, 0.2
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

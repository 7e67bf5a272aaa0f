"""A broker that takes requests of anybody without a ration, and keeps few of those that it refused.

What follows goes to `relay.daemon`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from relay.broker import dispatch, rationing

KEPT = 20
LAUNCHER = (sys.executable, str(Path(__file__)))


def main() -> None:
    """Take more, then be the broker."""
    rationing.AT_ONCE = rationing.A_DAY = 10_000
    dispatch.KEPT_REFUSED = KEPT
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

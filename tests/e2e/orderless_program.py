"""A broker of the version before: it does what is asked of its spawns as that comes, whatever its order.

What follows goes to `relay.daemon`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from relay.broker import steer_taking

LAUNCHER = (sys.executable, str(Path(__file__)))


def main() -> None:
    """Know of no order, then be the broker."""
    steer_taking.in_its_order = lambda entry, asker, verb, content: content  # type: ignore[attr-defined]
    steer_taking.order_of = lambda content: None  # type: ignore[attr-defined]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

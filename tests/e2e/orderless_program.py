"""A broker of the version before: it does what is asked of its spawns as that comes, whatever its order.

What follows goes to `relay.daemon`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from relay.core import steering

LAUNCHER = (sys.executable, str(Path(__file__)))


def main() -> None:
    """Know of no order, then be the broker."""
    steering.order_of = lambda content: None
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

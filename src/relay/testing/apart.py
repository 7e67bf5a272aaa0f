"""A broker to which a network leads to some addresses only, as it is behind somebody's NAT.

    python -m relay.testing.apart --only 127.0.0.1:7411 -- --home DIR ...

What follows `--` goes to `relay.daemon`. Every other dial is refused from outside, in this process only.
"""

from __future__ import annotations

import argparse
import runpy
import sys

from relay.broker import epoch_dial, websocket
from relay.broker.carrier import Carrier
from relay.core.errors import Unreachable

_dial = websocket.dial


def main() -> None:
    """Become a broker that reaches few."""
    parser = argparse.ArgumentParser(prog="relay.testing.apart")
    parser.add_argument("--only", action="append", required=True, metavar="HOST:PORT")
    at = sys.argv.index("--")
    only = parser.parse_args(sys.argv[1:at]).only

    async def dial(address: str, *rest: object, **which: object) -> Carrier:
        if address not in only:
            raise Unreachable("no network leads there", why=f"{address} is behind a NAT")
        return await _dial(address, *rest, **which)  # type: ignore[arg-type]

    epoch_dial.dial = dial  # type: ignore[assignment, attr-defined]
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

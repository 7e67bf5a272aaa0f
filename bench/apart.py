"""A broker to which one member's addresses are nothing: whatever it learns of them, its dials there fail at once.

    python bench/apart.py --from ID -- --home DIR ...

What follows `--` goes to `relay.daemon`, which is otherwise as always. Two of these stand for two machines behind NAT
boxes, where a box that drops packets would need network namespaces, and root.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from relay.broker.carrier import Carrier
from relay.broker.dialler import Dialler
from relay.core.errors import Unreachable
from relay.core.ids import BrokerId
from relay.testing.node import Node

_PROGRAM = Path(__file__)


def launcher(peer: Node) -> tuple[str, ...]:
    """What `Node.launcher` is for a broker that cannot reach `peer`."""
    return (sys.executable, "-P", str(_PROGRAM), "--from", peer.id, "--")


def _keep_apart(unreachable: str) -> None:
    begin = Dialler.__init__

    def begun(self, dial, *others):  # type: ignore[no-untyped-def]
        async def dialled(address: str, peer: BrokerId) -> Carrier:
            if peer == unreachable:
                raise Unreachable(f"{address} does not answer", why="no way there")
            found: Carrier = await dial(address, peer)
            return found

        begin(self, dialled, *others)

    Dialler.__init__ = begun  # type: ignore[method-assign]


def main() -> None:
    """Be the broker, apart from one member."""
    parser = argparse.ArgumentParser(prog="apart.py")
    parser.add_argument("--from", dest="unreachable", required=True)
    at = sys.argv.index("--")
    _keep_apart(parser.parse_args(sys.argv[1:at]).unreachable)
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

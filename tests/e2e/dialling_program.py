"""A broker whose dials wait until a file is there, and are noted when they come about.

    python tests/e2e/dialling_program.py --gate FILE --noted FILE -- --home DIR ...

What follows `--` goes to `relay.daemon`, which is otherwise as always.
"""

from __future__ import annotations

import argparse
import asyncio
import runpy
import sys
from pathlib import Path
from typing import Any

from relay.broker.carrier import Carrier
from relay.broker.dialler import Dial, Dialler
from relay.core.ids import BrokerId

LOOK_EVERY_S = 0.001


def _gate(gate: Path, noted: Path) -> None:
    begin = Dialler.__init__

    def begun(self: Dialler, dial: Dial, *others: Any) -> None:
        async def dialled(address: str, peer: BrokerId) -> Carrier:
            while not gate.exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(LOOK_EVERY_S)
            carrier = await dial(address, peer)
            with noted.open("a") as file:
                file.write(f"{address}\n")
            return carrier

        begin(self, dialled, *others)

    Dialler.__init__ = begun  # type: ignore[method-assign, assignment]


def main() -> None:
    """Be the broker that waits with its dials."""
    parser = argparse.ArgumentParser(prog="dialling_program.py")
    parser.add_argument("--gate", type=Path, required=True)
    parser.add_argument("--noted", type=Path, required=True)
    at = sys.argv.index("--")
    chosen = parser.parse_args(sys.argv[1:at])
    _gate(chosen.gate, chosen.noted)
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

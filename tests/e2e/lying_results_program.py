"""A target that says of its spawns what it likes: which files they gave back, under which names.

    python tests/e2e/lying_results_program.py --files JSON -- --home DIR ...

`JSON` is a list of maps that are laid over the first file it did collect; `{}` is that file as it is. What follows `--`
goes to `relay.daemon`. It has its own keys and signs what it says, as any target could.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.spawn.collecting import Collecting
from relay.spawn.outcome import Outcome
from relay.store.spawn_rows import SpawnRow


def launcher(*files: dict[str, Any]) -> tuple[str, ...]:
    """The words that start such a broker, for `Node.launcher`."""
    return (sys.executable, str(Path(__file__)), "--files", json.dumps(files), "--")


def _lie(laid_over: list[dict[str, Any]]) -> None:
    honest = Collecting.collected

    async def collected(self: Collecting, row: SpawnRow, outcome: Outcome) -> Outcome:
        told = await honest(self, row, outcome)
        files = (told.result or {}).get("files") or [{"path": "a", "size": 1, "mode": 0, "blob": "ab" * 32}]
        return replace(told, result=(told.result or {}) | {"files": [files[0] | each for each in laid_over]})

    def settle(self: Collecting, *others: object) -> None:
        """Offer nothing: what it says is no list that this program itself would read."""

    Collecting.collected = collected  # type: ignore[method-assign]
    Collecting.settle = settle  # type: ignore[method-assign, assignment]


def main() -> None:
    """Learn to lie, then be the broker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", required=True)
    at = sys.argv.index("--")
    _lie(json.loads(parser.parse_args(sys.argv[1:at]).files))
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

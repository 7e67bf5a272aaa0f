"""A target that says of its spawns what it likes, in words that it signs: what is laid over them stands in a file.

    python tests/e2e/lying_words_program.py -- --home DIR ...

`DIR/lies.json` is a map of fields of a snapshot: a map is laid over what is there, `"-"` takes a key away, and all
else takes the field's place. What stands there as `port` is said of a port that nobody listens on. What follows `--`
goes to `relay.daemon`.
"""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.broker import forwarding
from relay.core.errors import Code, Unreachable
from relay.core.spawning import Snapshot
from relay.spawn.ledger import Ledger, Step
from relay.store.spawn_rows import SpawnRow

LAUNCHER = (sys.executable, str(Path(__file__)), "--")


def _laid_over(said: Any, lie: Any) -> Any:
    if not isinstance(lie, dict):
        return lie
    merged = (said if isinstance(said, dict) else {}) | lie
    return {key: value for key, value in merged.items() if value != "-"}


def _lie(file: Path) -> None:
    honest = Ledger._snapshot

    def snapshot(self: Ledger, row: SpawnRow, step: Step, now: int) -> Snapshot:
        said = honest(self, row, step, now)
        lies = json.loads(file.read_text()) if file.exists() else {}
        told = {field: lie for field, lie in lies.items() if getattr(said, field, None) is not None}
        return replace(said, **{field: _laid_over(getattr(said, field), lie) for field, lie in told.items()})

    def nobody(port: int) -> Unreachable:
        return Unreachable(str(json.loads(file.read_text()).get("port")), code=Code.NO_ADDRESS)

    Ledger._snapshot = snapshot  # type: ignore[method-assign]
    forwarding._nobody = nobody


def main() -> None:
    """Learn to lie, then be the broker."""
    at = sys.argv.index("--")
    _lie(Path(sys.argv[sys.argv.index("--home") + 1]) / "lies.json")
    sys.argv = ["relay.daemon", *sys.argv[at + 1 :]]
    runpy.run_module("relay.daemon", run_name="__main__")


if __name__ == "__main__":
    main()

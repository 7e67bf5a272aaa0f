"""What came back from a spawn, fetched from this machine's broker into a folder that is there for a while."""

from __future__ import annotations

import contextlib
import time

from relay.api import routes, tree_routes
from relay.git.returning import Returned
from relay.git.rooms import BACK, room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.api.shapes import Spawn
    from relay.api.tree_shapes import Tree
    from relay.cli.invocation import Invocation

QUIET_S = 1.0


@contextlib.contextmanager
def returned(invocation: Invocation, ref: str) -> Iterator[tuple[Spawn, Returned, Path]]:
    """The spawn, what it changed, and a private folder to work in.

    Raises:
        RelayError: nothing came back, or it is not here.
    """
    client = invocation.client()
    spawn = client.ask(routes.show(ref))
    with room(invocation.home.folder, BACK) as into:
        tree = _fetched(invocation, spawn["id"], str(into))
        sent = (into / tree["sent"], tree["sent_ref"]) if tree["sent"] and tree["sent_ref"] else None
        yield (
            spawn,
            Returned(
                spawn["name"],
                spawn["id"],
                tree["kind"],
                tree["key"],
                tree["branch"],
                tree["base"],
                tree["tip"],
                into / tree["change"],
                sent,
            ),
            into,
        )


def _fetched(invocation: Invocation, spawn: str, folder: str) -> Tree:
    from relay.cli.progress import Bar

    bar, began, last = Bar("changes"), time.monotonic(), None
    try:
        for line in invocation.client().lines(tree_routes.write_tree(spawn, folder)):
            last = line
            if "error" in line or "tree" in line:
                break
            if not invocation.json and time.monotonic() - began >= QUIET_S:
                bar.show(line)  # type: ignore[arg-type]
    finally:
        bar.end()
    if last is not None and "tree" in last:
        return last["tree"]
    from relay.api.client import broke_off
    from relay.core.errors import from_json

    raise from_json(last["error"]) if last is not None and "error" in last else broke_off(invocation.home)

"""A broker with a long past: what its lists cost over many spawns that have ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from relay.api.home import Home
from relay.testing.mesh import Mesh
from relay.testing.node import Node

FEW, MANY = 100, 100_000
# copies of the one spawn there is, with ids of their own; ended one after the other
_COPY = """
WITH RECURSIVE counter(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counter WHERE i < :count)
INSERT INTO spawns ({columns}) SELECT {values} FROM counter, (SELECT * FROM spawns ORDER BY n LIMIT 1)
"""
_OWN = {"id": "printf('%016d', i)", "name": "'past-' || i", "created": "created - i", "since": "since - i"}


def _fill(node: Node, count: int) -> None:
    node.relay("spawn", "first", "exec", "--cwd", str(node.work), "--wait", "--", "true")
    node.stop()
    with closing(sqlite3.connect(Home(node.home).database)) as store, store:
        kinds = store.execute("SELECT name, hidden FROM pragma_table_xinfo('spawns')").fetchall()
        columns = [name for name, hidden in kinds if not hidden and name != "n"]
        values = ", ".join(_OWN.get(name, f'"{name}"') for name in columns)
        listed = ", ".join(f'"{name}"' for name in columns)
        store.execute(_COPY.format(columns=listed, values=values), {"count": count - 1})
    node.start()


@contextmanager
def with_a_past() -> Iterator[tuple[Node, Node]]:
    """Two brokers: one with 100 spawns that have ended, one with 100,000."""
    with Mesh.scratch("relay-past-") as mesh:
        few, many = mesh.pair("few", "many")
        _fill(few, FEW)
        _fill(many, MANY)
        mesh.await_link(few, many)
        yield few, many

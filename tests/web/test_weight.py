"""How heavy the page is, and how it bears a long list."""

from __future__ import annotations

import sqlite3
import statistics
from contextlib import closing

import pytest
from playwright.sync_api import expect

from relay.api.home import Home
from relay.testing.mesh import Mesh
from tests.web.conftest import Open

pytestmark = pytest.mark.web

MOST_BYTES = 100_000
MANY = 1_000
# the same line again and again, each with an id of its own
_COPY = """
WITH RECURSIVE counter(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counter WHERE i < :count)
INSERT INTO spawns ({columns}) SELECT {values} FROM counter, (SELECT * FROM spawns ORDER BY n LIMIT 1)
"""
_OWN = {"id": "printf('%016d', i)", "name": "'past-' || i"}
_FIRST = "performance.getEntriesByName('rows')[0].startTime"
_UPDATES = """
async () => {
  const { model } = await import("/static/state.js");
  const ids = [...model.spawns.keys()];
  const took = [];
  for (let i = 0; i < 30; i += 1) {
    const began = performance.now();
    const one = model.spawns.get(ids[(i * 37) % ids.length]);
    one.state = i % 2 ? "running" : "completed";
    model.changed("spawns");
    await new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
    took.push(performance.now() - began);
  }
  return took;
}
"""


def test_a_thousand_stay_smooth_and_the_first_are_there_at_once(visit: Open) -> None:
    with Mesh.scratch("relay-web-many-") as mesh:
        laptop = mesh.add("laptop")
        laptop.relay("spawn", "first", "exec", "--cwd", str(laptop.work), "--wait", "--", "true")
        laptop.stop()
        with closing(sqlite3.connect(Home(laptop.home).database)) as store, store:
            kinds = store.execute("SELECT name, hidden FROM pragma_table_xinfo('spawns')").fetchall()
            columns = [name for name, hidden in kinds if not hidden and name != "n"]
            values = ", ".join(_OWN.get(name, f'"{name}"') for name in columns)
            listed = ", ".join(f'"{name}"' for name in columns)
            store.execute(_COPY.format(columns=listed, values=values), {"count": MANY - 1})
        laptop.start()
        at = visit(laptop)
        expect(at.page.locator("#rows li")).to_have_count(MANY, timeout=20_000)
        took = at.page.evaluate(_UPDATES)
        first = at.page.evaluate(_FIRST)
        at.page.reload()
        expect(at.page.locator("#rows li")).to_have_count(MANY, timeout=20_000)
        again = at.page.evaluate(_FIRST)
        at.page.context.close()
        loaded = sum(at.loaded.values())
        update = statistics.median(took)
        print(f"first rows after {first:.0f} ms, again {again:.0f} ms; update median {update:.1f} ms; {loaded} bytes")
        assert loaded < MOST_BYTES, at.loaded
        assert len(took) == 30

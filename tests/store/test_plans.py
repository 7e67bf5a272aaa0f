"""What a question costs over any number of past spawns: none goes through all that ever was."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import relay.store
from relay.store import outbox, queueing, spawn_lists, spawns, tails
from relay.store.query import Query, Tx

# what grows with each spawn, and stays
_PAST = frozenset({"spawns", "attempts", "snapshots", "events", "audit", "operations", "seen", "effects", "timelines"})
# of what is not over, or as many as its LIMIT allows
_BOUNDED = re.compile("USING (COVERING )?INDEX spawns_live$")
_LIMITED = {("audit", "NEWEST"), ("audit", "HEAD"), ("spawn_lists", "recent")}


def _named() -> Iterator[tuple[str, str, Query[Any]]]:
    for module in pkgutil.iter_modules(relay.store.__path__):
        found = vars(importlib.import_module(f"relay.store.{module.name}"))
        yield from ((module.name, name, query) for name, query in found.items() if isinstance(query, Query))
    for sort in spawn_lists.SORTS:
        for lists in (spawn_lists.everything, spawn_lists.not_completed, spawn_lists.recent):
            yield from (("spawn_lists", lists.__name__, lists(sort, turned)) for turned in (False, True))


def _scans(tx: Tx, query: Query[Any]) -> list[str]:
    """The steps that go through a whole table of the past."""
    named = dict.fromkeys(re.findall(r":(\w+)", query.sql))
    tables = {alias: table for table, alias in re.findall(r"(\w+) AS (\w+)", query.sql)}
    steps = [str(row[3]) for row in tx.execute(f"EXPLAIN QUERY PLAN {query.sql}", named)]
    scanned = [(step, step.split()[1]) for step in steps if step.startswith("SCAN ")]
    return [step for step, name in scanned if tables.get(name, name) in _PAST and not _BOUNDED.search(step)]


def test_no_question_goes_through_all_that_ever_was(tx: Tx) -> None:
    asked = list(_named())
    assert len(asked) > 150
    scanning = {(module, name): steps for module, name, query in asked if (steps := _scans(tx, query))}
    assert scanning.keys() == _LIMITED, scanning


def _asked_of_the_outbox(tx: Tx) -> Iterator[str]:
    """What is asked of it for the sake of one spawn, or of those that have ended."""
    yield from (query.sql for query in (outbox.BY_SPAWN, outbox.KEEPER))
    asked: list[str] = []
    tx.set_trace_callback(asked.append)
    tails.forget_told(tx, "s" * 16)
    spawns.known_ended_before(tx, 1)
    tx.set_trace_callback(None)
    yield from asked


def test_nothing_that_is_asked_for_one_spawn_goes_through_all_that_waits_for_a_sleeping_peer(tx: Tx) -> None:
    asked = list(_asked_of_the_outbox(tx))
    assert len(asked) == 4, asked
    for sql in asked:
        named = dict.fromkeys(re.findall(r":(\w+)", sql))
        plan = [str(row[3]) for row in tx.execute(f"EXPLAIN QUERY PLAN {sql}", named)]
        assert [step for step in plan if "outbox_spawn" in step] and "SCAN outbox" not in plan, (sql, plan)


def test_who_is_ahead_in_the_queue_is_counted_without_a_look_at_the_rows(tx: Tx) -> None:
    """It is for each spawn that finds no slot, also among ten thousand; only labels are looked up."""
    sql = queueing.AHEAD.sql.replace("json_extract(labels, :label)", "''")
    steps = tx.execute(f"EXPLAIN {sql}", dict.fromkeys(re.findall(r":(\w+)", sql))).fetchall()
    rows = {cursor for _, step, _, _, cursor, *_ in steps if step == "DeferredSeek"}
    assert rows and not [step for step in steps if step[1] == "Column" and step[2] in rows], steps


@pytest.mark.parametrize("join", ["spawns", "spawns AS s"])
def test_a_scan_is_seen(tx: Tx, join: str) -> None:
    query: Query[Any] = Query(f"SELECT id FROM {join} WHERE live = 1 ORDER BY n", lambda row: row)
    assert _scans(tx, query) != []

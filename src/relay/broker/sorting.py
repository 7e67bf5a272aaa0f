"""Spawns of several brokers in one order: the orders of `store/spawn_lists.py`, for rows that stand in no store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from relay.core.ids import BrokerId
from relay.core.states import URGENCY
from relay.store.spawn_rows import SpawnRow

_RANKS = {state: rank for rank, state in enumerate(URGENCY)}


def in_order(
    rows: Iterable[SpawnRow], sort: str, reverse: bool, name: Callable[[BrokerId], str]
) -> list[SpawnRow]:
    """The rows as a list shows them; who has no such moment stands last either way.

    Args:
        rows: in any order.
        sort: one of `spawn_lists.SORTS`.
        reverse: the other way round.
        name: a broker's.
    """
    found = sorted(rows, key=lambda row: (row.created, row.id), reverse=sort != "created" or not reverse)
    if sort == "created":
        return found
    keys: dict[str, Callable[[SpawnRow], Any]] = {
        "name": lambda row: row.name,
        "state": lambda row: _RANKS[row.state],
        "broker": lambda row: name(row.target),
    }
    key = keys.get(sort) or attrgetter(sort)
    present = [row for row in found if key(row) is not None]
    absent = [row for row in found if key(row) is None]
    falling = (sort not in keys) is not reverse
    return sorted(present, key=key, reverse=falling) + absent

"""The lists of `relay ps`: filtered, sorted and cut by SQLite, from one index over any number of past spawns."""

from __future__ import annotations

import functools
import json
from dataclasses import field
from typing import Any

from relay.core.ids import BrokerId
from relay.core.states import URGENCY, State
from relay.core.values import frozen
from relay.store.query import Query, first_column
from relay.store.spawn_rows import SpawnRow, spawn_query

EVER = 2**62  # a `before` that excludes nothing
NO_LIMIT = -1

_FILTERS = (
    "created < :before AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))"
    " AND (:target IS NULL OR target = :target) AND (:origin IS NULL OR origin = :origin)"
    " AND (:agent IS NULL OR agent = :agent) AND (:name IS NULL OR name GLOB :name)"
    " AND (:since IS NULL OR since >= :since)"
    " AND (:labels IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:labels) AS wanted WHERE NOT EXISTS"
    " (SELECT 1 FROM json_each(spawns.labels) AS has WHERE has.key = wanted.key AND has.value = wanted.value)))"
)
_RANKS = " ".join(f"WHEN '{state}' THEN {rank}" for rank, state in enumerate(URGENCY))
# by name: what is sorted by, what it is turned round by `reverse`; who has no such moment stands last either way
_ORDERS: dict[str, tuple[str, bool]] = {
    "created": ("created", True),
    "started": ("started", True),
    "ended": ("ended", True),
    "priority": ("priority", True),
    "name": ("name", False),
    "state": (f"CASE state {_RANKS} END", False),
    "broker": ("json_extract(:names, '$.' || target)", False),
}
SORTS = tuple(_ORDERS)


@frozen
class Wanted:
    """Which spawns; None filters nothing.

    Attributes:
        states: in one of these.
        target, origin: to be run by this broker, asked for by that one.
        agent: exactly this one.
        name: a pattern with `*`, `?` and `[…]`.
        labels: all of these, with these values.
        since: whose state changed at or after this moment, milliseconds.
        before: made before this moment, milliseconds.
    """

    states: frozenset[State] | None = None
    target: BrokerId | None = None
    origin: BrokerId | None = None
    agent: str | None = None
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    since: int | None = None
    before: int = EVER

    def params(self) -> dict[str, Any]:
        """The named parameters of the queries here."""
        return {
            "states": None if self.states is None else json.dumps(sorted(self.states)),
            "target": self.target,
            "origin": self.origin,
            "agent": self.agent,
            "name": self.name,
            "labels": json.dumps(self.labels) if self.labels else None,
            "since": self.since,
            "before": self.before,
        }


def _order(sort: str, reverse: bool, key: str = "") -> str:
    what, newest_first = _ORDERS[sort]
    what = key or what
    direction = "DESC" if newest_first is not reverse else "ASC"
    # the tie goes by arrival, so that a list reads the same each time; `created` alone is the order of the index
    tie = f"n {direction}" if sort == "created" else "created DESC, n DESC"
    absent = f"{what} IS NULL, " if sort in ("started", "ended") else ""
    return f"ORDER BY {absent}{what} {direction}, {tie}"


_LIVE_ONES = f"FROM spawns INDEXED BY spawns_live WHERE live = 1 AND {_FILTERS}"
_LIVING = f"SELECT n {_LIVE_ONES}"
# as the index says it, which is used for nothing else
_HAVE_ENDED = "state IN ('completed', 'failed', 'timed_out', 'cancelled', 'rejected', 'expired', 'lost')"
_ENDED_ONES = f"FROM spawns INDEXED BY spawns_newest WHERE {_HAVE_ENDED} AND {_FILTERS}"
_NOT_COMPLETED = (
    f"{_LIVING} UNION ALL SELECT n FROM spawns INDEXED BY spawns_not_completed"
    f" WHERE live = 0 AND state <> 'completed' AND {_FILTERS}"
)


@functools.cache
def everything(sort: str = "created", reverse: bool = False) -> Query[SpawnRow]:
    """All that is kept and wanted, at most `:limit`.

    Args:
        sort: one of `SORTS`; `broker` takes `:names`, a JSON object of names by id.
        reverse: the other way round.
    """
    what = f"n, created, {_ORDERS[sort][0]} AS key"
    order = _order(sort, reverse)
    # both are merged as they come: of what has ended no more is read than is listed
    both = f"SELECT {what} {_LIVE_ONES} UNION ALL SELECT {what} {_ENDED_ONES}"
    first = both if sort == "created" else f"SELECT * FROM ({both})"
    inner = f"{first} {_order(sort, reverse, 'key')} LIMIT :limit"
    return spawn_query(f"WHERE n IN (SELECT n FROM ({inner})) {order}")


@functools.cache
def not_completed(sort: str = "created", reverse: bool = False) -> Query[SpawnRow]:
    """The same, where `completed` is none of the wanted states: what is done is not even looked through."""
    order = _order(sort, reverse)
    return spawn_query(f"WHERE n IN (SELECT n FROM spawns WHERE n IN ({_NOT_COMPLETED}) {order} LIMIT :limit) {order}")


@functools.cache
def recent(sort: str = "created", reverse: bool = False) -> Query[SpawnRow]:
    """What lives, and of what has ended the last `:ended`, of these at most `:limit`; arguments as for `everything`."""
    ended = f"SELECT n FROM spawns INDEXED BY spawns_ended WHERE live = 0 AND {_FILTERS} ORDER BY since DESC"
    which = f"WHERE n IN ({_LIVING} UNION ALL SELECT n FROM ({ended} LIMIT :ended))"
    return spawn_query(f"{which} {_order(sort, reverse)} LIMIT :limit")


# how many are wanted, counted up to :most
MATCHING: Query[int] = Query(
    f"SELECT count(*) FROM (SELECT 1 {_LIVE_ONES} UNION ALL SELECT 1 {_ENDED_ONES} LIMIT :most)", first_column
)
MATCHING_NOT_COMPLETED: Query[int] = Query(
    f"SELECT count(*) FROM (SELECT n FROM ({_NOT_COMPLETED}) LIMIT :most)", first_column
)
# what has ended by a word that came here after an event's number, whenever it was said: a sleeper's word comes late
ENDED_AFTER_EVENT = spawn_query(
    "WHERE live = 0 AND id IN (SELECT json_extract(data, '$.spawn') FROM events"
    " WHERE seq > :seq AND kind = 'spawn.state') ORDER BY since DESC, n DESC LIMIT :limit"
)
ENDED_SINCE = spawn_query(
    "WHERE n IN (SELECT n FROM spawns INDEXED BY spawns_ended WHERE live = 0 AND since > :since"
    " ORDER BY since DESC LIMIT :limit) ORDER BY since DESC, n DESC"
)

"""The lists of spawns: what a client asked for, read and checked, and what the store has of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from relay.api.routes import MOST_LISTED
from relay.broker.members import Members
from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.core.states import GROUPS, TERMINAL, State
from relay.core.values import frozen
from relay.store import events, spawn_lists
from relay.store.engine import Store
from relay.store.spawn_lists import EVER, NO_LIMIT, SORTS, Wanted
from relay.store.spawn_rows import COUNTS, LIVE, LIVE_IN, SpawnRow

RECENT_ENDED = 20
MOST_COUNTED = 10_000  # a count beyond this is told as `more than`: nobody waits for it
MOST_TEXT = 1_000
_UNFINISHED = tuple(name for name, states in GROUPS.items() if not states & TERMINAL)
_WHOLE = re.compile(r"[0-9]{1,15}\Z")


@frozen
class Asked:
    """One question for a list.

    Attributes:
        wanted: the filters.
        everything: all that is kept; else what lives and the last that ended.
        limit: at most so many; None for the most there may be.
        sort, reverse: the order.
    """

    wanted: Wanted
    everything: bool
    limit: int | None
    sort: str
    reverse: bool


@frozen
class Found:
    """A list.

    Attributes:
        rows: in the order that was asked for.
        matched: how many there are; with `exact` false at least so many.
        seq: the last event that had happened before this was read.
    """

    rows: list[SpawnRow]
    matched: int
    exact: bool
    seq: int


@frozen
class Away:
    """What happened since somebody last looked.

    Attributes:
        needing: what needs a person now.
        ended: what has ended since, the last first.
        going: how many others live.
        seq: the last event that had happened before this was read.
    """

    needing: list[SpawnRow]
    ended: list[SpawnRow]
    going: int
    seq: int


class Lists:
    """Answers questions for lists.

    Args:
        store: where spawns and events are.
        members: the brokers' names.
    """

    def __init__(self, store: Store, members: Members) -> None:
        self._store = store
        self._members = members

    def read(self, params: Mapping[str, str]) -> Asked:
        """The question in a request's parameters.

        Raises:
            Misuse: one of them cannot be used, or names no broker.
        """
        sort = params.get("sort") or "created"
        if sort not in SORTS:
            raise Misuse(
                f"nothing is sorted by {sort[:40]!r}",
                why=f"it is one of {', '.join(SORTS)}",
                hint="relay ps --sort started",
            )
        is_queue = params.get("unfinished", "0") in ("1", "true")
        wanted = Wanted(
            states=self.unfinished_states(params) or GROUPS["live"] if is_queue else _states(params.get("states")),
            target=self._broker(params.get("broker")),
            origin=self._broker(params.get("origin")),
            agent=_text(params, "agent"),
            name=_text(params, "name"),
            labels=_labels(params.get("labels")),
            since=_whole(params, "since"),
            before=EVER if (before := _whole(params, "before")) is None else before,
        )
        everything, reverse = (params.get(name, "0") in ("1", "true") for name in ("all", "reverse"))
        # who asks for a state or a time asks beyond the last few that ended
        beyond = everything or wanted.states is not None or wanted.since is not None
        return Asked(wanted, beyond, _whole(params, "limit"), sort, reverse)

    def _broker(self, text: str | None) -> BrokerId | None:
        return self._members.resolve(text) if text else None

    async def found(self, asked: Asked) -> Found:
        """The list."""
        seq = await self._store.one(events.HIGHEST) or 0
        params = asked.wanted.params()
        if asked.sort == "broker":
            params["names"] = json.dumps(self._names())
        if asked.everything:
            limit = min(asked.limit or MOST_LISTED, MOST_LISTED)
            listed = spawn_lists.not_completed if _leaves_out_the_done(asked) else spawn_lists.everything
            rows = await self._store.all(listed(asked.sort, asked.reverse), limit=limit, **params)
            return await self._counted(asked, rows, limit, seq)
        query = spawn_lists.recent(asked.sort, asked.reverse)
        rows = await self._store.all(query, limit=NO_LIMIT, ended=RECENT_ENDED, **params)
        return Found(rows[: asked.limit] if asked.limit else rows, len(rows), True, seq)

    async def _counted(self, asked: Asked, rows: list[SpawnRow], limit: int, seq: int) -> Found:
        if len(rows) < limit:
            return Found(rows, len(rows), True, seq)
        params = asked.wanted.params() | {"most": MOST_COUNTED + 1}
        left_out = _leaves_out_the_done(asked)
        query = spawn_lists.MATCHING_NOT_COMPLETED if left_out else spawn_lists.MATCHING
        matched = await self._store.one(query, **params) or 0
        return Found(rows, max(min(matched, MOST_COUNTED), len(rows)), matched <= MOST_COUNTED, seq)

    async def unfinished(self, params: Mapping[str, str]) -> list[SpawnRow]:
        """What has not ended, on every machine, or what of it stands in one of `states`; the newest first.

        Raises:
            Misuse: there is no such state, or it is one that has ended.
        """
        states = self.unfinished_states(params)
        return [row for row in await self._store.all(LIVE) if states is None or row.state in states]

    def unfinished_states(self, params: Mapping[str, str]) -> frozenset[State] | None:
        """In which states, of those that have not ended; None for all of them.

        Raises:
            Misuse: there is no such state, or it is one that has ended.
        """
        states = _states(params.get("states"), _UNFINISHED, "relay queue --status waiting")
        _refuse_ended(params.get("states") or "")
        return states

    def _names(self) -> dict[str, str]:
        everyone = [self._members.own, *(each.id for each in self._members.others)]
        return {each: self._members.name(each) for each in everyone}

    async def away(self, seq: int | None, since: int, limit: int) -> Away:
        """What happened since somebody last looked.

        Args:
            seq: the last event by then; None where there was no such look, or another store.
            since: milliseconds: when that was, for events that are no longer kept.
            limit: most ended ones.
        """
        highest = await self._store.one(events.HIGHEST) or 0
        if seq is not None and not await self._store.one(events.ARE_MISSED, seq=seq):
            ended = await self._store.all(spawn_lists.ENDED_AFTER_EVENT, seq=seq, limit=limit)
        else:
            ended = await self._store.all(spawn_lists.ENDED_SINCE, since=since, limit=limit)
        needing = await self._store.all(LIVE_IN, states=json.dumps(sorted(GROUPS["needs_you"])))
        living = sum(number for _, number in await self._store.all(COUNTS, target=None))
        return Away(needing, ended, max(living - len(needing), 0), highest)


def _leaves_out_the_done(asked: Asked) -> bool:
    return asked.wanted.states is not None and State.COMPLETED not in asked.wanted.states


def _states(
    text: str | None,
    accepted: Iterable[str] = GROUPS,
    hint: str = "relay ps --state live   or   relay ps --state failed",
) -> frozenset[State] | None:
    if not text:
        return None
    names = text.split(",")
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise Misuse(
            f"there is no state {unknown[0][:40]!r}",
            why=f"it is one of {', '.join(accepted)}",
            hint=hint,
        )
    return frozenset().union(*(GROUPS[name] for name in names))


def _refuse_ended(typed: str) -> None:
    over = [name for name in typed.split(",") if name and GROUPS[name] <= TERMINAL]
    if over:
        raise Misuse(
            f"what is in the queue is never {over[0]!r}",
            why=f"what has ended is no longer in it; there it is one of {', '.join(_UNFINISHED)}",
            hint=f"relay ps --state {over[0]}",
        )


def _text(params: Mapping[str, str], name: str) -> str | None:
    text = params.get(name) or None
    if text is not None and len(text) > MOST_TEXT:
        raise Misuse(f"{name} is too long", hint=f"look for at most {MOST_TEXT} letters")
    return text


def _labels(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError):
        labels = None
    if not isinstance(labels, dict) or not all(isinstance(each, str) for each in labels.values()):
        raise Misuse(
            "the labels cannot be read",
            code=Code.USAGE,
            why="they are a JSON object of texts",
            hint="--label ticket=42",
        )
    return labels


def _whole(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name)
    if not text:
        return None
    if not _WHOLE.match(text):
        raise Misuse(f"{name} is no number", why="a whole number is wanted, 0 or more", hint="relay ps --help")
    return int(text)

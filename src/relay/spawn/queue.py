"""The queue of this machine: what may start next, and why the others may not.

Higher priority first, then order of arrival. What is blocked by one sort of slot, by its origin's grant, by a
predecessor, a moment or a person holds up nothing behind it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from relay.core import queue_words
from relay.core.ids import BrokerId
from relay.core.slots import LABEL, Occupancy, needs
from relay.core.values import frozen
from relay.spawn.limits import Limits
from relay.store import meta, queueing
from relay.store.journal import Entry
from relay.store.query import Tx, to_json
from relay.store.spawn_rows import SpawnRow

FIRST_PAGE = 4  # this is asked at each end, and mostly one slot is free
PAGE = 50
_NUMBERS = re.compile(r"[0-9]+")
_CLOCK = re.compile(r" \([^)]*[0-9]:[0-9][^)]*\)")  # beside a pause, and with its date where that is another
PAUSED = "queue.paused"


@frozen
class Turn:
    """What has become of a spawn whose turn it was.

    Attributes:
        taken: it waits no more. Else what it lacks, such as its working tree, may be its own lack.
        origin_waits: why its origin's grant lets nothing start now; empty where it does.
        agent_waits: why nothing of its agent can start now; empty where it can.
    """

    taken: bool = False
    origin_waits: str = ""
    agent_waits: str = ""


Consider = Callable[[Entry, str], Turn]


def local_zone(now: int) -> tzinfo | None:
    """This machine's time zone at a moment (milliseconds)."""
    return datetime.fromtimestamp(now / 1000).astimezone().tzinfo


def paused_queue(tx: Tx) -> dict[str, Any] | None:
    """Who paused the whole queue and when, `{"at","by"}`, or None."""
    return pause_from(meta.get(tx, PAUSED))


def pause_from(stored: str | None) -> dict[str, Any] | None:
    """As `paused_queue`, from the stored text."""
    found: dict[str, Any] | None = json.loads(stored) if stored else None
    return found


class Queue:
    """Judges what may start, as far as grants have no say in it.

    Args:
        own: this broker's id.
        limits: how many slots there are.

    Attributes:
        used_up: why an origin's grant lets nothing start, as far as it was asked of late, by origin.
        lacking: the same of agents that lack something, by name.
    """

    def __init__(self, own: BrokerId, limits: Limits) -> None:
        self._own = own
        self._limits = limits
        self.used_up: dict[BrokerId, str] = {}
        self.lacking: dict[str, str] = {}

    def occupancy(self, tx: Tx) -> Occupancy:
        """How many slots are taken."""
        parallel, slots = self._limits.parallel, self._limits.slots
        if not slots:
            return Occupancy(parallel, slots, queueing.IN_HAND_COUNT.one(tx, target=self._own) or 0, {})
        return Occupancy.of(parallel, slots, queueing.SORTS_IN_HAND.all(tx, target=self._own))

    def kept_back(self, origin: BrokerId, agent: str) -> str:
        """Why nothing of an origin, or of an agent, was started though there was a slot; empty where it was not so."""
        return self.used_up.get(origin) or self.lacking.get(agent, "")

    def note(self, origin: BrokerId, waiting: str) -> None:
        """Keep in mind why an origin's grant lets nothing start now; empty where it does."""
        if waiting:
            self.used_up[origin] = waiting
        else:
            self.used_up.pop(origin, None)

    def obstacle(self, entry: Entry, row: SpawnRow) -> str:
        """Why a spawn may not start now; empty where it may."""
        return self._itself(entry, row) or self._slot(entry, row)

    def causes(self, entry: Entry, row: SpawnRow, occupancy: Occupancy) -> list[str]:
        """All that keeps a spawn from starting, the first as `obstacle` has it; how many are ahead is not counted."""
        if found := self._itself(entry, row):
            return [found]
        sorts = [sort for sort in needs(row.agent, row.labels, occupancy.slots) if occupancy.is_full_of(sort)]
        slots = [queue_words.no_slot(occupancy, sort, 0) for sort in ([None] if occupancy.is_full else []) + sorts]
        kept = (self.used_up.get(row.origin), self.lacking.get(row.agent))
        return [*slots, *filter(None, kept)]

    def look_anew(self) -> None:
        """What kept an origin, or an agent, may keep it no more."""
        self.used_up, self.lacking = {}, {}

    def _itself(self, entry: Entry, row: SpawnRow) -> str:
        return self._mark(entry, row) or self._predecessors(entry, row) or self._moment(entry, row)

    def _mark(self, entry: Entry, row: SpawnRow) -> str:
        whole = paused_queue(entry.tx)
        if whole is not None:
            return queue_words.queue_paused(whole["by"], whole["at"], entry.now, _zone(entry))
        return queue_words.paused(row.paused_by or "somebody") if row.paused is not None else ""

    def _predecessors(self, entry: Entry, row: SpawnRow) -> str:
        if not row.wishes.after:
            return ""
        found = queueing.OPEN_OF.all(entry.tx, spawn=row.id)
        return queue_words.after(map(standing, found)) if found else ""

    def _moment(self, entry: Entry, row: SpawnRow) -> str:
        if row.not_before is None or row.not_before <= entry.now:
            return ""
        used = queueing.RETRIES_USED.one(entry.tx, spawn=row.id) or 0
        return moment_words(row.not_before, used, row.wishes.retries, entry.now)

    def _slot(self, entry: Entry, row: SpawnRow) -> str:
        occupancy = self.occupancy(entry.tx)
        sort = None if occupancy.is_full else occupancy.full_sort(row.agent, row.labels)
        if sort is None and not occupancy.is_full:
            return ""
        return queue_words.no_slot(occupancy, sort, self._ahead(entry, row, sort))

    def ahead(self, entry: Entry, row: SpawnRow) -> int:
        """How many wait before a spawn for the slot that it lacks; 0 where it lacks none."""
        occupancy = self.occupancy(entry.tx)
        sort = None if occupancy.is_full else occupancy.full_sort(row.agent, row.labels)
        return self._ahead(entry, row, sort) if occupancy.is_full or sort is not None else 0

    def _ahead(self, entry: Entry, row: SpawnRow, sort: str | None) -> int:
        return queueing.AHEAD.one(entry.tx, **ahead_of(self._own, row, sort, entry.now, self.used_up)) or 0

    def start_waiting(self, entry: Entry, consider: Consider) -> None:
        """Have everything considered that may start, in its order, while there are slots.

        Args:
            consider: starts the one of that id, or says what keeps all of its origin.
        """
        if queueing.ANY_WAITING.one(entry.tx, target=self._own) is None:
            self.look_anew()
            return
        if paused_queue(entry.tx) is not None:
            return
        agents, labels, origins = set[str](), set[str](), dict[BrokerId, str]()
        place, occupancy, limit = queueing.FIRST_PLACE, self.occupancy(entry.tx), FIRST_PAGE
        if not occupancy.is_full:
            self.used_up, self.lacking = origins, {}
        while not occupancy.is_full:
            page = self._page(entry, place, {"agents": agents, "labels": labels, "origins": origins}, limit)
            for head in page:
                if occupancy.is_full:
                    return
                if head.origin in origins or head.agent in self.lacking:
                    continue
                sort = occupancy.full_sort(head.agent, head.labels)
                if sort is not None:
                    (agents if sort == head.agent else labels).add(sort)
                elif (turn := consider(entry, head.id)).origin_waits:
                    origins[head.origin] = turn.origin_waits
                elif turn.agent_waits:
                    agents.add(head.agent)
                    self.lacking[head.agent] = turn.agent_waits
                elif turn.taken:
                    occupancy = self.occupancy(entry.tx)
            if len(page) < limit:
                return
            place, limit = page[-1].place, PAGE

    def _page(
        self, entry: Entry, place: tuple[int, int], without: Mapping[str, Iterable[str]], limit: int
    ) -> list[queueing.Head]:
        return queueing.STARTABLE.all(
            entry.tx,
            target=self._own,
            now=entry.now,
            priority=place[0],
            n=place[1],
            limit=limit,
            **{sort: to_json(sorted(names)) for sort, names in without.items()},
        )

    def pause(self, entry: Entry, by: str) -> None:
        """Let nothing start any more; what runs goes on."""
        if paused_queue(entry.tx) is None:
            meta.put(entry.tx, PAUSED, to_json({"at": entry.now, "by": by}) or "")

    def resume(self, entry: Entry) -> None:
        """Let the queue go on."""
        meta.put(entry.tx, PAUSED, "")


def _zone(entry: Entry) -> tzinfo:
    zone = local_zone(entry.now)
    assert zone is not None
    return zone


def same_cause(one: str, other: str) -> bool:
    """Whether two reasons differ in their numbers alone: who counts along is not told of each step."""
    return _NUMBERS.sub("", one) == _NUMBERS.sub("", other)


def is_one_of(told: str, causes: Iterable[str]) -> bool:
    """Whether what was told of a spawn is still a cause of its waiting, but for what changes all the time."""
    return any(same_cause(_CLOCK.sub("", told), _CLOCK.sub("", each)) for each in causes)


def ahead_of(
    own: BrokerId, row: SpawnRow, sort: str | None, now: int, used_up: Iterable[BrokerId]
) -> dict[str, Any]:
    """The parameters of `queueing.AHEAD`: how many wait before a spawn for the same sort of slot.

    Args:
        own: this broker's id.
        row: the spawn.
        sort: the slot's name, None for any.
        now: milliseconds since 1970.
        used_up: origins whose grants let nothing start: what they asked for is ahead of their own alone.
    """
    key, equals, value = (sort or "").removeprefix(LABEL).partition("=")
    is_label = sort is not None and sort.startswith(LABEL)
    return {
        "target": own,
        "spawn": row.id,
        "priority": row.priority,
        "now": now,
        "origins": to_json(sorted({*used_up} - {row.origin})),
        "agent": None if is_label else sort,
        "label": f'$."{key}"' if is_label else None,
        "value": value if is_label and equals else None,
    }


def standing(found: queueing.Open) -> tuple[str, str]:
    """A predecessor's name and state, for the words."""
    return (found.name or found.predecessor, str(found.state or "not here yet"))


def moment_words(moment: int, used: int, retries: int, now: int) -> str:
    """Why a spawn waits for a moment.

    Args:
        moment: when it may start; `now`: milliseconds since 1970.
        used: how many of its retries began; 0 where the moment was asked for.
        retries: how many it has.
    """
    zone = local_zone(moment)  # as clocks will show it then: they may be changed before
    assert zone is not None
    if used:
        # fewer may be allowed by now: what began stands
        return queue_words.retry(used, max(used, retries), moment, now, zone)
    return queue_words.not_before(moment, now, zone)

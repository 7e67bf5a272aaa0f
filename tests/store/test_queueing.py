"""The queue's questions: order, what is passed over, places; attempts that were followed; due times."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from relay.core.ids import BrokerId
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.core.wishes import After, Wishes
from relay.store import queueing, schedules, spawns, steers
from relay.store.query import Tx
from relay.store.schedules import Schedule
from relay.store.spawn_rows import EXPIRED_HERE
from relay.store.steers import Early, Steer

OWN, OTHER = BrokerId("o" * 56), BrokerId("p" * 56)


def waiting(tx: Tx, letter: str, *, origin: BrokerId = OWN, agent: str = "shell", **wishes: Any) -> str:
    labels = wishes.pop("labels", {})
    request = SpawnRequest(letter * 16, letter, agent, "x", 0, 10**6, labels=labels, wishes=Wishes(**wishes))
    spawns.insert(tx, request, origin=origin, target=OWN, operation=letter, state=State.WAITING, since=0)
    queueing.put_after(tx, request.id, request.wishes.after)
    return request.id


def page(tx: Tx, place: tuple[int, int] = queueing.FIRST_PLACE, limit: int = 50, **without: str) -> list[str]:
    given = {"agents": "[]", "origins": "[]", "labels": "[]"} | without
    found = queueing.STARTABLE.all(tx, target=OWN, now=100, priority=place[0], n=place[1], limit=limit, **given)
    return [head.id[0] for head in found]


def test_order_is_priority_then_arrival_over_pages(tx: Tx) -> None:
    for letter, priority in zip("abcde", (0, 5, 0, -5, 5), strict=True):
        waiting(tx, letter, priority=priority)
    assert page(tx) == list("beacd")
    heads = queueing.QUEUE.all(tx, target=OWN)
    assert [page(tx, head.place, 1) for head in heads] == [["e"], ["a"], ["c"], ["d"], []]


def test_what_may_not_start_is_passed_over(tx: Tx) -> None:
    waiting(tx, "a", agent="claude")
    waiting(tx, "b", origin=OTHER)
    waiting(tx, "c", not_before=101)
    waiting(tx, "d", not_before=100)
    queueing.pause(tx, waiting(tx, "e"), 1, "ann")
    waiting(tx, "f", after=(After("a" * 16),))
    assert page(tx) == list("abd")
    assert page(tx, agents='["claude"]', origins=f'["{OTHER}"]') == ["d"]
    queueing.resume(tx, "e" * 16)
    queueing.meet(tx, "f" * 16, "a" * 16)
    assert page(tx) == list("abdef")
    assert [row.id[0] for row in queueing.DUE.all(tx, target=OWN, now=100)] == ["d"]
    assert queueing.NEXT_START.one(tx, target=OWN) == 100


def test_what_lacks_a_slot_by_its_label_is_passed_over(tx: Tx) -> None:
    waiting(tx, "a", labels={"gpu": "x"})
    waiting(tx, "b", labels={"gpu": "y", "team": "core"})
    waiting(tx, "c", labels={"x": '"gpu":', "gpu2": "x"})
    waiting(tx, "d")
    assert page(tx, labels='["label:gpu"]') == list("cd")
    assert page(tx, labels='["label:gpu=x", "label:team=ops"]') == list("bcd")


def test_places_count_those_of_the_same_sort_alone(tx: Tx) -> None:
    waiting(tx, "a", labels={"gpu": "x"})
    waiting(tx, "b", agent="claude", priority=3)
    last = waiting(tx, "c", labels={"gpu": "y"})
    everything: dict[str, Any] = {"target": OWN, "spawn": last, "priority": 0, "now": 100}
    nothing = {"origins": "[]", "agent": None, "label": None, "value": None}
    assert queueing.AHEAD.one(tx, **everything, **nothing) == 2
    assert queueing.AHEAD.one(tx, **everything, **nothing | {"agent": "claude"}) == 1
    assert queueing.AHEAD.one(tx, **everything, **nothing | {"label": '$."gpu"'}) == 1
    assert queueing.AHEAD.one(tx, **everything, **nothing | {"label": '$."gpu"', "value": "y"}) == 0
    waiting(tx, "d", priority=3, not_before=101)
    waiting(tx, "e", priority=3, after=(After("z" * 16),))
    queueing.pause(tx, waiting(tx, "f", priority=3), 1, "ann")
    assert queueing.AHEAD.one(tx, **everything, **nothing) == 2, "what cannot start anyway is ahead of nobody"


def test_retries_count_anew_after_a_person_asked(tx: Tx) -> None:
    spawn = waiting(tx, "a")
    how = {"state": "failed", "reason": ""}
    for n, asked in ((1, ""), (2, ""), (3, "ann"), (4, "")):
        queueing.keep_try(tx, spawn, n, asked, how)
    assert queueing.RETRIES_USED.one(tx, spawn=spawn) == 1
    assert [each.n for each in queueing.TRIES.all(tx, spawn=spawn)] == [1, 2, 3, 4]
    steers.ask(tx, Steer("op", spawn, "pause", {}, 1, None))
    spawns.forget(tx, [spawn])
    assert not queueing.TRIES.all(tx, spawn=spawn) and not steers.OF_SPAWN.all(tx, spawn=spawn)


def test_how_an_attempt_ended_stands_though_it_was_stopped_before_another_began(tx: Tx) -> None:
    """Asked for again, held, stopped and asked for again: the words may come to an origin in either order."""
    ran = {"state": "completed", "exit_code": 0, "ended": 5, "left": {"notes": []}, "session": "one", "terminal": True}
    stopped = {"state": "cancelled", "exit_code": None, "ended": 9, "task": "the second", "session": "two"}
    kept = {"state": "completed", "exit_code": 0, "ended": 5, "left": {"notes": []}, "task": "the second"}
    for letter, words in (("a", (ran, stopped)), ("b", (stopped, ran))):
        spawn = waiting(tx, letter)
        for each in words:
            queueing.keep_try(tx, spawn, 1, "ann", each)
        (found,) = queueing.TRIES.all(tx, spawn=spawn)
        assert found.outcome == kept | {"session": "two"}


def test_what_was_tried_is_none_of_those_that_expire_here(tx: Tx) -> None:
    untried, tried, expired = waiting(tx, "a"), waiting(tx, "b"), waiting(tx, "c")
    tx.execute("UPDATE spawns SET attempt = 1 WHERE id = ?", (tried,))
    queueing.keep_try(tx, tried, 1, "", {"state": "failed", "reason": ""})
    queueing.keep_try(tx, expired, 0, "ann", {"state": "expired", "reason": ""})
    assert [row.id for row in EXPIRED_HERE.all(tx, target=OWN, now=10**6)] == [untried, expired]
    assert [row.id for row in EXPIRED_HERE.all(tx, target=OWN, now=10**6 - 1)] == []
    assert queueing.WAS_TRIED.one(tx, spawn=tried) and queueing.WAS_TRIED.one(tx, spawn=untried) is None


def test_a_steer_is_answered_once(tx: Tx) -> None:
    steers.ask(tx, Steer("op", "a" * 16, "pause", {"by": "ann"}, 1, None))
    assert steers.answer(tx, "op", None) and not steers.answer(tx, "op", {"code": "no_verb"})
    assert (found := steers.BY_OPERATION.one(tx, operation="op")) is not None and found.error == {}


def test_what_came_early_is_taken_once_in_order_and_not_without_end(tx: Tx) -> None:
    kept = [steers.keep_early(tx, OTHER, "a" * 16, Early(f"op{n}", {"n": n}), 5) for n in range(steers.MOST_EARLY + 1)]
    assert kept.count(False) == 1 and not kept[-1]
    taken = steers.take_early(tx, OTHER, "a" * 16)
    assert [each.content["n"] for each in taken] == list(range(steers.MOST_EARLY))
    assert steers.take_early(tx, OTHER, "a" * 16) == []


def test_what_came_early_is_not_kept_beyond_its_size(tx: Tx) -> None:
    half = Early("op", {"task": "x" * (steers.MOST_EARLY_LETTERS // 2)})
    kept = [steers.keep_early(tx, who, "a" * 16, half, 5) for who in (OTHER, OTHER, OWN)]
    assert kept == [True, False, True]


def schedule(letter: str, **values: Any) -> Schedule:
    plain: dict[str, Any] = {"every": "1h", "state": "active", "created": 0, "since": 0, "next": 50, "last": None}
    plain |= {"last_spawn": None, "runs": 0, "skipped": 0, "ttl": 1, "error": None, "request": {}}
    return Schedule(id=letter * 16, name=letter, origin=OWN, target=OWN, operation=letter, **plain | values)


def test_a_due_time_is_acted_on_once(tx: Tx) -> None:
    schedules.add(tx, schedule("a"))
    assert [each.id[0] for each in schedules.DUE.all(tx, target=OWN, now=50)] == ["a"]
    schedules.act_on(tx, "a" * 16, 50, "s" * 16)
    with pytest.raises(sqlite3.IntegrityError):
        schedules.act_on(tx, "a" * 16, 50, "t" * 16)
    schedules.act_on(tx, "a" * 16, 60, None)
    schedules.ran(tx, "a" * 16, 60, "t" * 16)
    schedules.ran(tx, "a" * 16, 50, "s" * 16)  # told in another order
    found = schedules.BY_ID.one(tx, id="a" * 16)
    assert found is not None and (found.runs, found.skipped, found.last_spawn) == (2, 1, "t" * 16)


def test_schedules_that_are_over_are_forgotten_and_the_others_kept(tx: Tx) -> None:
    for letter, state in (("a", "active"), ("b", "removed"), ("c", "refused")):
        schedules.add(tx, schedule(letter, state=state))
    schedules.act_on(tx, "a" * 16, 50, None)
    schedules.purge(tx, 10 * schedules.PURGE_AFTER_MS)
    assert [each.id[0] for each in schedules.LISTING.all(tx, everything=True, recently=0)] == ["a"]
    schedules.act_on(tx, "a" * 16, 50, None)  # that old due time is forgotten too

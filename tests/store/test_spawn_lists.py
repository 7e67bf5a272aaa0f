"""The lists of `relay ps`: every filter, every order, and what is counted beside them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from relay.broker.sorting import in_order
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, URGENCY, State
from relay.store import events, spawn_lists
from relay.store.query import Tx
from relay.store.spawn_lists import NO_LIMIT, SORTS, Wanted
from tests.store.specimens import HERE, THERE, THIRD, insert, spawn_id


def _fill(tx: Tx) -> None:
    for number, state in zip(range(28), itertools.cycle(State), strict=False):
        insert(tx, number, state=state, target=THERE if number % 2 else HERE, created=number, since=100 + number)


def _listed(tx: Tx, wanted: Wanted, limit: int = 100, sort: str = "created", reverse: bool = False) -> list[int]:
    names = {"names": f'{{"{HERE}":"b","{THERE}":"a"}}'} if sort == "broker" else {}
    rows = spawn_lists.everything(sort, reverse).all(tx, limit=limit, **wanted.params(), **names)
    return [row.created for row in rows]


def test_lists_filter_and_page(tx: Tx) -> None:
    _fill(tx)
    assert _listed(tx, Wanted(), limit=3) == [27, 26, 25]
    assert _listed(tx, Wanted(before=25), limit=2) == [24, 23]
    wanted = frozenset({State.LOST, State.QUEUED})
    assert _listed(tx, Wanted(states=wanted)) == [27, 14, 13, 0]
    assert _listed(tx, Wanted(states=wanted, target=THERE)) == [27, 13]
    unfinished = Wanted(states=wanted).params()
    quick = spawn_lists.not_completed().all(tx, limit=3, **unfinished)
    assert [row.created for row in quick] == [27, 14, 13]
    assert spawn_lists.MATCHING_NOT_COMPLETED.one(tx, most=100, **unfinished) == 4
    assert _listed(tx, Wanted(origin=THIRD)) == _listed(tx, Wanted(states=frozenset())) == []
    assert _listed(tx, Wanted(since=125)) == [27, 26, 25]
    assert spawn_lists.MATCHING.one(tx, most=100, **Wanted(target=THERE).params()) == 14
    assert spawn_lists.MATCHING.one(tx, most=5, **Wanted().params()) == 5


def test_what_is_recent_is_what_lives_and_the_last_that_ended(tx: Tx) -> None:
    _fill(tx)

    def recent(wanted: Wanted, ended: int, limit: int = NO_LIMIT) -> list[Any]:
        return spawn_lists.recent().all(tx, ended=ended, limit=limit, **wanted.params())

    found = recent(Wanted(), 2)
    assert [row.created for row in found if row.state in TERMINAL] == [27, 26]
    assert len([row for row in found if row.state not in TERMINAL]) == 14
    assert len(recent(Wanted(target=THERE), 0)) == 6
    assert [row.created for row in recent(Wanted(), 2, limit=3)] == [27, 26, 20]


def test_names_agents_and_labels_filter(tx: Tx) -> None:
    insert(tx, 1, name="build-1", agent="shell", labels={"ci": "yes", "team": "a"})
    insert(tx, 2, name="build-2", agent="claude", labels={"ci": "yes"})
    insert(tx, 3, name="notes")
    assert len(_listed(tx, Wanted(name="build-*"))) == 2
    assert len(_listed(tx, Wanted(name="build-[2-9]"))) == len(_listed(tx, Wanted(agent="claude"))) == 1
    assert len(_listed(tx, Wanted(labels={"ci": "yes"}))) == 2
    assert len(_listed(tx, Wanted(labels={"ci": "yes", "team": "a"}))) == 1
    assert _listed(tx, Wanted(labels={"ci": "no"})) == _listed(tx, Wanted(name="BUILD*")) == []
    assert _listed(tx, Wanted(labels={"x": "' OR 1 --"}, agent="' OR 1 --")) == []


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_and_its_reverse(tx: Tx, sort: str) -> None:
    _fill(tx)
    tx.execute("UPDATE spawns SET started = 1000 - created WHERE created % 2")
    tx.execute("UPDATE spawns SET ended = created WHERE live = 0")
    tx.execute("UPDATE spawns SET priority = created % 3, name = 'n' || (created % 5)")
    once, turned = _listed(tx, Wanted(), sort=sort), _listed(tx, Wanted(), sort=sort, reverse=True)
    assert sorted(once) == sorted(turned) == list(range(28))
    states = list(itertools.islice(itertools.cycle(State), 28))
    keys: dict[str, Any] = {
        "created": lambda n: -n,
        "started": lambda n: n if n % 2 else 10**6,
        "ended": lambda n: -n if states[n] in TERMINAL else 10**6,
        "priority": lambda n: -(n % 3),
        "name": lambda n: n % 5,
        "state": lambda n: URGENCY.index(states[n]),
        "broker": lambda n: 0 if n % 2 else 1,
    }
    assert [keys[sort](n) for n in once] == sorted(keys[sort](n) for n in once)
    present = [keys[sort](n) for n in turned if keys[sort](n) != 10**6]
    assert present == sorted(present, reverse=True)
    assert all(keys[sort](n) == 10**6 for n in turned[len(present) :])
    assert _listed(tx, Wanted(), limit=3, sort=sort) == once[:3]
    rows = spawn_lists.everything().all(tx, limit=100, **Wanted().params())
    random.Random(sort).shuffle(rows)
    names = {HERE: "b", THERE: "a"}
    for reverse, listed in ((False, once), (True, turned)):  # rows of several brokers, that no store has put in order
        assert [row.created for row in in_order(rows, sort, reverse, names.__getitem__)] == listed


def test_what_ended_is_found_by_when_the_word_came_here(tx: Tx) -> None:
    for number, state in ((1, State.COMPLETED), (2, State.RUNNING), (3, State.FAILED)):
        insert(tx, number, state=state, since=number)
    for number in (1, 2):
        events.append(tx, "spawn.state", {"spawn": spawn_id(number), "state": "x"}, 0)
    found = spawn_lists.ENDED_AFTER_EVENT.all(tx, seq=0, limit=10)
    assert [row.id for row in found] == [spawn_id(1)]
    assert spawn_lists.ENDED_AFTER_EVENT.all(tx, seq=2, limit=10) == []
    assert [row.id for row in spawn_lists.ENDED_SINCE.all(tx, since=1, limit=10)] == [spawn_id(3)]


def test_an_unknown_broker_matches_nothing(tx: Tx) -> None:
    _fill(tx)
    assert _listed(tx, Wanted(target=BrokerId("z" * 56))) == []


def test_what_has_ended_and_what_lives_make_up_every_list(tx: Tx) -> None:
    _fill(tx)
    for sort, reverse in itertools.product(SORTS, (False, True)):
        assert sorted(_listed(tx, Wanted(), sort=sort, reverse=reverse)) == list(range(28)), sort
    ended = [row.created for row in spawn_lists.everything().all(tx, limit=100, **Wanted(states=TERMINAL).params())]
    assert ended == [number for number in reversed(range(28)) if tuple(State)[number % 14] in TERMINAL]

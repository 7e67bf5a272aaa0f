"""Spawns: the name, the target's words in any order, what may be ended here, the questions."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, Misuse
from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot
from relay.core.states import State
from relay.core.tails import Piece, Tail
from relay.store import attempts, blobs, outbox, spawn_lists, spawn_rows, spawns, tails, words
from relay.store.blobs import Need, NeedState, Reference
from relay.store.migrations import MIGRATIONS
from relay.store.opening import connect
from relay.store.query import Query, Tx
from relay.store.spawn_lists import NO_LIMIT, Wanted
from relay.store.spawn_rows import SpawnRow
from tests.store.specimens import HERE, THERE, THIRD, insert, posting, request, spawn_id, word


def _code(number: int, tx: Tx, **changes: object) -> Code:
    with pytest.raises(Misuse) as caught:
        insert(tx, number, **changes)  # type: ignore[arg-type]
    return caught.value.code


def _get(tx: Tx, number: int) -> SpawnRow:
    return spawns.require(tx, spawn_id(number))


def _ids(rows: list[SpawnRow]) -> list[str]:
    return [row.id for row in rows]


def test_a_request_comes_back_whole(tx: Tx) -> None:
    asked = request(
        1, argv=("make", "test"), cwd="/srv", mode="plan", model="m", timeout_s=1.5, labels={"k": "v"}, chain=(THIRD,)
    )
    row = spawns.insert(tx, asked, origin=HERE, target=THERE, operation="op", state=State.QUEUED, since=5, reason="r")
    assert row == spawn_rows.BY_ID.one(tx, id=asked.id)
    assert all(getattr(row, name) == getattr(asked, name) for name in asked.__match_args__)
    assert (row.state, row.since, row.reason, row.order, row.at) == (State.QUEUED, 5, "r", (0, 0), None)


def test_a_live_name_is_in_use_on_its_broker_only(tx: Tx) -> None:
    insert(tx, 1, name="coder")
    assert _code(2, tx, name="coder", origin=THIRD) is Code.NAME_IN_USE
    insert(tx, 3, name="coder", target=HERE)
    spawns.apply_snapshot(tx, word(1, 1, 1, State.COMPLETED), 0)
    insert(tx, 4, name="coder")
    assert _code(4, tx, name="other") is Code.CONFLICT


def test_a_retry_brings_a_row_back_to_life(tx: Tx) -> None:
    insert(tx, 1, name="coder")
    spawns.apply_snapshot(tx, word(1, 1, 9, State.FAILED, error={"code": "x"}), 0)
    spawns.require_free_name(tx, "coder", THERE, HERE)
    assert spawns.apply_snapshot(tx, word(1, 2, 10, State.WAITING), 0)
    with pytest.raises(Misuse, match="in use"):
        spawns.require_free_name(tx, "coder", THERE, HERE)


def test_a_snapshot_fills_the_row(tx: Tx) -> None:
    before = insert(tx, 1)
    told = word(1, 1, 4, State.COMPLETED, cwd="/w", started=1, ended=2, exit_code=0, result={"status": "ok"})
    assert spawns.apply_snapshot(tx, told, 77)
    row = _get(tx, 1)
    assert spawns.after_word(before, told, 77) == row
    assert all(
        getattr(row, name) == getattr(told, name)
        for name in ("state", "at", "since", "reason", "started", "ended", "exit_code", "result", "order")
    )
    assert (row.cwd, row.ran_in, row.first_word) == (None, "/w", 77)
    assert not spawns.apply_snapshot(tx, told, 99)
    assert _get(tx, 1).first_word == 77


def test_only_the_targets_word_counts(tx: Tx) -> None:
    insert(tx, 1)
    assert not spawns.apply_snapshot(tx, word(1, 9, 9, State.COMPLETED, target=THIRD), 0)
    assert not spawns.apply_snapshot(tx, word(2, 1, 1, State.COMPLETED), 0)
    assert _get(tx, 1).state is State.QUEUED


_WORDS = st.lists(
    st.builds(
        lambda order, state: word(1, order[0], order[1], state),
        st.tuples(st.integers(0, 3), st.integers(1, 6)),
        st.sampled_from(list(State)),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda snapshot: snapshot.order,
)


@given(told=_WORDS, seed=st.randoms())
@settings(max_examples=100, deadline=None)
def test_words_in_any_order_and_number_end_the_same(told: list[Snapshot], seed: random.Random) -> None:
    arriving = told * 2
    seed.shuffle(arriving)  # draws, so that an example may end here
    connection = connect(":memory:")  # type: ignore[arg-type]
    for migration in MIGRATIONS:
        connection.executescript(migration)
    insert(connection, 1)
    for snapshot in arriving:
        before = _get(connection, 1)
        changed = spawns.apply_snapshot(connection, snapshot, 0)
        assert changed == (snapshot.order > before.order)
    last = max(told, key=lambda snapshot: snapshot.order)
    row = _get(connection, 1)
    assert (row.order, row.state, row.since) == (last.order, last.state, last.since)
    connection.close()


def test_what_is_decided_here_never_replaces_the_targets_word(tx: Tx) -> None:
    for number in (1, 2, 3):
        insert(tx, number)
    assert spawns.end_untaken(tx, spawn_id(1), State.EXPIRED, "late", 5, {"code": "expired"})
    assert (_get(tx, 1).state, _get(tx, 1).error) == (State.EXPIRED, {"code": "expired"})
    assert spawns.apply_snapshot(tx, word(1, 1, 1, State.RUNNING), 6)
    assert not spawns.end_untaken(tx, spawn_id(1), State.CANCELLED, "", 7)
    assert spawns.delivered(tx, spawn_id(2), 8)
    assert (_get(tx, 2).state, _get(tx, 2).first_word) == (State.DELIVERED, 8)
    assert not spawns.delivered(tx, spawn_id(2), 9)
    assert not spawns.end_untaken(tx, spawn_id(2), State.CANCELLED, "the target has it", 9)
    spawns.apply_snapshot(tx, word(3, 1, 1, State.RUNNING), 6)
    assert not spawns.delivered(tx, spawn_id(3), 9)


def test_a_stop_is_remembered_once_and_while_live(tx: Tx) -> None:
    insert(tx, 1)
    assert spawns.request_stop(tx, spawn_id(1), 5)
    assert not spawns.request_stop(tx, spawn_id(1), 6)
    assert _get(tx, 1).stop_requested == 5
    spawns.clear_stop(tx, spawn_id(1))
    assert spawns.explain(tx, spawn_id(1), "waits for vps")
    spawns.apply_snapshot(tx, word(1, 1, 1, State.LOST), 6)
    assert not spawns.request_stop(tx, spawn_id(1), 7)
    assert not spawns.explain(tx, spawn_id(1), "no")


def test_an_unknown_spawn_is_misuse(tx: Tx) -> None:
    with pytest.raises(Misuse) as caught:
        _get(tx, 1)
    assert caught.value.code is Code.UNKNOWN_SPAWN


def test_finding_by_prefix_and_name(tx: Tx) -> None:
    for number, target in ((1, THERE), (2, THERE), (3, HERE)):
        insert(tx, number, name="coder", target=target)
        spawns.apply_snapshot(tx, word(number, 1, 1, State.COMPLETED, target=target), 0)
    assert _ids(spawn_rows.BY_NAME.all(tx, name="coder", target=None)) == [spawn_id(3)]
    assert _ids(spawn_rows.BY_NAME.all(tx, name="coder", target=THERE)) == [spawn_id(2)]
    insert(tx, 4, name="coder", created=1, target=THERE)
    insert(tx, 5, name="coder", created=2, target=HERE)
    assert _ids(spawn_rows.BY_NAME.all(tx, name="coder", target=None)) == [spawn_id(5), spawn_id(4)]
    assert _ids(spawn_rows.BY_NAME.all(tx, name="coder", target=THERE)) == [spawn_id(4)]
    assert spawn_rows.BY_NAME.all(tx, name="none", target=None) == []
    assert len(spawn_rows.BY_PREFIX.all(tx, prefix="aaaa")) == 5
    assert _ids(spawn_rows.BY_PREFIX.all(tx, prefix=spawn_id(3))) == [spawn_id(3)]
    assert spawn_rows.BY_PREFIX.all(tx, prefix="b") == []


def test_the_questions_of_a_target(tx: Tx) -> None:
    states = (State.WAITING, State.RUNNING, State.HELD, State.WAITING, State.NEEDS_INPUT, State.STARTING)
    for number, state in enumerate(states):
        insert(tx, number, state=state, created=9_000 - number)
    assert _ids(spawn_rows.WAITING.all(tx, target=THERE)) == [spawn_id(0), spawn_id(3)]
    assert _ids(spawn_rows.IN_HAND.all(tx, target=THERE)) == [spawn_id(1), spawn_id(4), spawn_id(5)]
    assert _ids(spawn_rows.HELD.all(tx, target=THERE)) == [spawn_id(2)]
    assert dict(spawn_rows.COUNTS.all(tx, target=THERE))[State.WAITING] == 2
    assert not spawn_rows.COUNTS.all(tx, target=HERE)
    assert not spawn_rows.WAITING.all(tx, target=HERE)
    assert spawn_rows.LIVE_FROM.one(tx, target=THERE, origin=HERE) == 6
    assert len(spawn_rows.ELSEWHERE.all(tx, origin=HERE)) == len(spawn_rows.LIVE.all(tx)) == 6


def test_what_an_origin_may_expire(tx: Tx) -> None:
    for number in (1, 2, 3):
        insert(tx, number, expires=100 * number)
    spawns.delivered(tx, spawn_id(1), 0)
    assert _ids(spawn_rows.UNSENT_EXPIRED.all(tx, now=200)) == [spawn_id(2)]


_PAST = """
WITH RECURSIVE counter(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM counter WHERE i < 99999)
INSERT INTO spawns (id, name, origin, target, agent, mode, labels, requested_by, chain, created, expires, operation,
    state, since, argv, task)
SELECT printf('%016d', i), 'n' || i, origin, target, agent, mode, labels, requested_by, chain, i, expires, operation,
    'completed', i, argv, printf('%.300c', 'x') FROM counter, (SELECT * FROM spawns LIMIT 1)
"""


def test_questions_stay_fast_over_100_000_past_spawns(tx: Tx) -> None:
    insert(tx, 1)
    tx.execute(_PAST)
    recent, few = {"ended": 20, "limit": NO_LIMIT}, {"limit": 50}
    rare = Wanted(states=frozenset({State.LOST}), labels={"no": "such"}).params() | few
    mine = Wanted(target=BrokerId("other")).params()
    everything, plain = spawn_lists.everything(), Wanted().params()
    asked: tuple[tuple[Query[Any], dict[str, Any]], ...] = (
        (spawn_lists.recent(), plain | recent),
        (spawn_lists.recent("state", True), plain | recent),
        (spawn_lists.recent(), mine | recent),
        (spawn_rows.BY_NAME, {"name": "n500", "target": None}),
        (everything, plain | few),
        (everything, Wanted(name="n9*7").params() | few),
        (spawn_lists.MATCHING, plain | {"most": 1000}),
        (spawn_lists.ENDED_SINCE, {"since": 0, "limit": 50}),
        (spawn_rows.COUNTS, {"target": THERE}),
        (spawn_rows.COUNTS, {"target": None}),
        (everything, rare),
        (spawn_lists.not_completed(), rare | {"labels": None}),
        (spawn_lists.not_completed("ended", True), rare),
        (spawn_lists.MATCHING_NOT_COMPLETED, Wanted(states=frozenset({State.LOST})).params() | {"most": 1000}),
        (spawn_rows.FAILURES, {"origin": HERE, "resolved": 0, "limit": 50}),
    )
    scan = _steps(tx, "SELECT count(*) FROM spawns WHERE length(task) = 1", {})
    for query, params in asked:
        # counted, not timed; what is rare is looked for in an index that has no order for it
        looks_through_all = query is everything and params is rare
        most = scan * 5 if looks_through_all or params == mine | recent else scan / 20
        assert _steps(tx, query.sql, params) < most, query


def _steps(tx: Tx, sql: str, params: Mapping[str, Any]) -> int:
    """How many hundred steps of its machine SQLite needs for a question."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    tx.set_progress_handler(count, 100)
    try:
        tx.execute(sql, params).fetchall()
    finally:
        tx.set_progress_handler(None, 0)
    return steps


def test_one_whose_files_are_not_pulled_yet_stays(tx: Tx) -> None:
    insert(tx, 1)
    spawns.apply_snapshot(tx, word(1, 1, 1, State.LOST, since=10), 10)
    operation = blobs.operation_of(spawn_id(1))
    offer = Reference(bytes(32), Need.OFFER, THERE, "a.txt", 5, NeedState.OPEN, 1_000, 0, operation)
    blobs.refer(tx, offer)
    assert spawns.known_ended_before(tx, 11) == []
    blobs.turn(tx, offer, NeedState.DELIVERED, 1_000)
    assert spawns.known_ended_before(tx, 11) == [spawn_id(1)]


def test_old_spawns_go_with_all_that_hangs_on_them(tx: Tx) -> None:
    for number in (1, 2):
        insert(tx, number)
        attempts.prepare(tx, spawn_id(number), 1, "f", 0)
        tails.keep(tx, spawn_id(number), Tail(1, 5, (Piece(0, 9, 0, 4, b"tail"),)))
        tails.keep_durations(tx, spawn_id(number), {"queued_s": 1.0})
        blobs.pin(tx, bytes(32), blobs.label_of(spawn_id(number)), "a.txt", 5, 0)
        words.keep(tx, words.SignedWord(spawn_id(number), 1, 1, State.LOST, 0, b"s", b"b"))
    spawns.apply_snapshot(tx, word(1, 1, 1, State.LOST, since=10), 10)
    assert spawns.known_ended_before(tx, 10) == []
    assert spawns.known_ended_before(tx, 11) == [spawn_id(1)]
    spawns.forget(tx, [spawn_id(1)])
    for table in ("spawns", "attempts", "tails", "durations", "snapshots", "blob_references"):
        assert tx.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)


def test_of_what_was_refused_the_latest_is_kept_also_where_its_origin_refuses_the_words(tx: Tx) -> None:
    many = spawns.PURGE_STEP + 9
    for number in range(1, many + 1):
        insert(tx, number, state=State.DELIVERED)
        spawns.apply_snapshot(tx, word(number, 0, 1, State.REJECTED), 10)
        if number < 5:
            outbox.post(tx, posting(number, kind="snapshot", spawn=spawn_id(number)), None)
    for number in (1, 2):
        outbox.dead_letter(tx, posting(number).id, "not wanted")
    for many_gone in (spawns.PURGE_STEP, 4, 0):  # and no million at once
        gone = spawns.refused_beyond(tx, HERE, THERE, 3)
        assert len(gone) == many_gone
        spawns.forget(tx, gone)
        outbox.drop_dead_of(tx, gone)
    kept = [spawn_id(number) for number in (many, many - 1, many - 2, 4, 3)]
    assert _column(tx, "SELECT id FROM spawns ORDER BY n DESC") == kept
    assert _column(tx, "SELECT spawn FROM outbox ORDER BY n DESC") == kept[-2:]


def _column(tx: Tx, sql: str) -> list[object]:
    return [found for (found,) in tx.execute(sql)]


def test_an_end_that_was_learnt_late_is_kept_as_long_as_one_that_came_at_once(tx: Tx) -> None:
    """Its target's clock is behind, or the word came weeks after: it counts when it came, by this machine's clock."""
    for number, since, now in ((1, 10, 5_000), (2, 5_000, 10)):
        insert(tx, number)
        spawns.apply_snapshot(tx, word(number, 1, 1, State.COMPLETED, since=since), now)
    insert(tx, 3)
    spawns.end_untaken(tx, spawn_id(3), State.EXPIRED, "late", 20)
    assert spawns.known_ended_before(tx, 5_000) == [spawn_id(2), spawn_id(3)]
    assert spawns.known_ended_before(tx, 5_001) == [spawn_id(2), spawn_id(3), spawn_id(1)]
    assert spawns.known_ended_between(tx, 20, 5_000) == [(spawn_id(1), 5_000)], "a late one is behind no mark"
    spawns.apply_snapshot(tx, word(1, 2, 1, State.WAITING, since=11), 6_000)
    spawns.apply_snapshot(tx, word(1, 2, 2, State.COMPLETED, since=12), 7_000)
    assert spawns.known_ended_before(tx, 7_000) == [spawn_id(2), spawn_id(3)], "after another attempt it counts anew"


def test_what_ended_in_one_moment_is_taken_together(tx: Tx) -> None:
    for number in range(1, 6):
        insert(tx, number)
        spawns.apply_snapshot(tx, word(number, 1, 1, State.LOST, since=number), 10 if number < 5 else 11)
    first = spawns.known_ended_between(tx, -1, 20, limit=2)
    assert {*first} == {(spawn_id(number), 10) for number in range(1, 5)}
    assert spawns.known_ended_between(tx, 10, 20, limit=2) == [(spawn_id(5), 11)]

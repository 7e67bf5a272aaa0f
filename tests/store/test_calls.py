"""Rows of calls: the highest word counts, what waits for its receipt is kept, lists are light."""

from __future__ import annotations

from typing import Any

from relay.core.calls import CallRequest, Outcome, Piece, Word
from relay.core.kinds import Kind
from relay.core.offers import Catalogue, Offer
from relay.core.states import State
from relay.store import call_rows, calls, offers, outbox
from relay.store.call_rows import BY_ID, CallRow
from relay.store.outbox import Posting
from relay.store.query import Tx

from .specimens import HERE, THERE, spawn_id

LONG = b'{"a":"' + b"x" * 50_000 + b'"}'


def made(tx: Tx, number: int, **changes: Any) -> CallRow:
    request = CallRequest(spawn_id(number), "search", LONG, 1_000, 10_000, 60.0)
    given: dict[str, Any] = {"origin": THERE, "target": HERE, "state": State.DELIVERED, "now": 1_000}
    return calls.insert(tx, request, **given | changes)


def word(number: int, seq: int, state: State, **changes: Any) -> Word:
    return Word(spawn_id(number), seq, state, 2_000 + seq, 2_000 + seq, **changes)


def done(number: int, seq: int = 3) -> Word:
    return word(number, seq, State.COMPLETED, outcome=Outcome.DONE, result=LONG, ended=2_000)


def test_the_highest_word_counts_in_whatever_order_they_come(tx: Tx) -> None:
    made(tx, 1, origin=HERE, target=THERE, state=State.QUEUED)
    assert calls.apply(tx, done(1), 3_000) and not calls.apply(tx, word(1, 2, State.RUNNING), 3_001)
    row = BY_ID.one(tx, id=spawn_id(1))
    assert row is not None and (row.state, row.outcome, row.result) == (State.COMPLETED, Outcome.DONE, LONG)
    assert not row.is_live and not calls.delivered(tx, row.id, 3_002)
    assert not calls.end_untaken(tx, row.id, State.CANCELLED, "x", 3_003)


def test_what_is_asked_of_many_is_light(tx: Tx) -> None:
    made(tx, 1)
    calls.apply(tx, word(1, 1, State.WAITING), 2_000)
    for query in (call_rows.WAITING, call_rows.NEWEST, call_rows.LIVE_HERE):
        [row] = query.all(tx, **{"own": HERE, "limit": 9})
        assert row.arguments == b"{}" and row.result is None
    assert BY_ID.one(tx, id=spawn_id(1)).arguments == LONG  # type: ignore[union-attr]


def test_a_result_is_kept_until_its_word_is_receipted(tx: Tx) -> None:
    made(tx, 1)
    made(tx, 2)
    for number in (1, 2):
        calls.apply(tx, done(number), 3_000)
    operation = f"called/{spawn_id(1)}/3"
    outbox.post(tx, Posting(bytes(16), THERE, Kind.TOOL_RESULT, operation, b"x", 1, 9), None)
    assert calls.lighten(tx, HERE, 4_000) == 1 and calls.lighten(tx, HERE, 4_000) == 0
    assert [BY_ID.one(tx, id=spawn_id(n)).result for n in (1, 2)] == [LONG, None]  # type: ignore[union-attr]
    assert calls.purge(tx, 4_000) == 1
    assert BY_ID.one(tx, id=spawn_id(1)) is not None and BY_ID.one(tx, id=spawn_id(2)) is None
    outbox.receipted(tx, THERE, [bytes(16)])
    assert calls.purge(tx, 3_000) == 0 and calls.purge(tx, 4_000) == 1


def test_pieces_of_one_word_alone_are_kept(tx: Tx) -> None:
    made(tx, 1, origin=HERE, target=THERE, state=State.QUEUED)
    for seq, n in ((3, 0), (4, 1), (3, 1), (4, 0)):
        calls.keep_piece(tx, Piece(spawn_id(1), seq, n, b"%d%d" % (seq, n)))
    assert calls.whole(tx, spawn_id(1), 4, 2) == b"4041" and calls.whole(tx, spawn_id(1), 3, 1) is None
    calls.drop_pieces(tx, spawn_id(1))
    assert calls.whole(tx, spawn_id(1), 4, 2) is None


def test_who_has_a_tool_is_found_by_its_name_and_not_by_what_is_said_of_it(tx: Tx) -> None:
    told = (Offer("ls", '{"name":"ls","description":"[\\"rm\\",1] rm"}'), Offer("a.b-c", '{"name":"a.b-c"}'))
    assert offers.hear(tx, THERE, Catalogue(1, told), 5)
    for name, found in (("ls", [THERE]), ("a.b-c", [THERE]), ("rm", []), ("l", []), ("LS", []), ("a_b-c", [])):
        assert offers.WHO_HAS.all(tx, name=name) == found, name


def test_what_is_next_due_is_a_timeout_or_an_expiry(tx: Tx) -> None:
    assert call_rows.NEXT_DUE.one(tx, own=HERE) is None
    made(tx, 1)
    calls.apply(tx, word(1, 1, State.WAITING), 2_000)
    assert call_rows.NEXT_DUE.one(tx, own=HERE) == 10_000
    calls.claim(tx, spawn_id(1), "p", 5_000)
    calls.apply(tx, word(1, 2, State.STARTING), 5_000)
    assert call_rows.NEXT_DUE.one(tx, own=HERE) == 65_000
    assert [row.due for row in call_rows.OVERDUE.all(tx, own=HERE, now=65_000)] == [65_000]

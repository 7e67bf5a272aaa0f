"""The small tables: facts, peers, statements, invites, operations, attempts, words, events, audit."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest

from relay.core.ids import from_digest
from relay.core.states import State
from relay.core.tails import Piece, Tail
from relay.store import attempts, audit, events, invites, meta, operations, peers, statements, tails, words
from relay.store.attempts import AttemptState
from relay.store.invites import Invite
from relay.store.peers import Peer
from relay.store.query import Tx
from relay.store.statements import StatementRow
from relay.store.words import SignedWord
from tests.store.specimens import HERE, THERE, add_event, word


def test_facts(tx: Tx) -> None:
    assert meta.get(tx, "k") is None
    meta.put(tx, "k", "1")
    meta.put(tx, "k", "007")
    assert meta.get(tx, "k") == "007"
    assert (meta.get_number(tx, "k"), meta.get_number(tx, "none", 5)) == (7, 5)
    assert [meta.raise_number(tx, "m", least) for least in (3, 2, 9)] == [3, 3, 9]
    assert [meta.raise_incarnation(tx) for _ in range(3)] == [1, 2, 3]


def test_peers(tx: Tx) -> None:
    grants = [{"verb": "spawn"}]
    whole = Peer(
        THERE, bytes(32), b"s" * 32, "vps", ("h:1", "h:2"), 5, 3, b"n", True, -7, "1.0", grants, ("claude",)
    )
    plain = Peer(HERE, bytes(32))
    for peer in (whole, plain, whole):
        peers.upsert(tx, peer)
    assert peers.ALL.all(tx) == [plain, whole]
    assert peers.BY_ID.one(tx, id=THERE) == peers.BY_NAME.one(tx, name="vps") == whole
    assert peers.BY_PREFIX.all(tx, prefix="bb") == [whole]
    changed = peers.change(tx, THERE, frozen=False, addresses=())
    assert changed == peers.BY_ID.one(tx, id=THERE)
    assert changed and (changed.frozen, changed.addresses, changed.name) == (False, (), "vps")
    for now in (9, 8):
        peers.note_seen(tx, THERE, now)
    seen = peers.BY_ID.one(tx, id=THERE)
    assert seen and seen.last_seen == 9
    assert (peers.forget(tx, THERE), peers.forget(tx, THERE)) == (True, False)
    assert peers.change(tx, THERE, name="x") is None


def test_a_key_of_another_length_is_refused_by_the_table(tx: Tx) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        peers.upsert(tx, Peer(THERE, b"short"))


def test_statements_keep_both_halves_of_a_fork(tx: Tx) -> None:
    rows = [StatementRow(bytes([n]) * 32, HERE, min(n, 2), b"bytes") for n in (1, 2, 3)]
    assert [statements.add(tx, row) for row in (*rows, rows[0])] == [True, True, True, False]
    assert statements.BY_SIGNER.all(tx, signer=HERE) == statements.ALL.all(tx) == rows
    assert statements.BY_HASH.one(tx, hash=rows[1].hash) == rows[1]
    statements.clear(tx)
    assert statements.ALL.all(tx) == []


def test_an_invite_is_used_once(tx: Tx) -> None:
    for name in ("one", "two", "old"):
        invites.insert(tx, Invite(name, b"v", "member", 50 if name == "old" else 100, created=1))
    assert not invites.consume(tx, "old", "joiner", b"a", now=60)
    assert invites.consume(tx, "one", "joiner", b"a", now=60)
    assert not invites.consume(tx, "one", "joiner", b"b", now=60)
    assert not invites.consume(tx, "none", "joiner", b"b", now=60)
    used = invites.BY_ID.one(tx, id="one")
    assert used and (used.used_by, used.answer) == ("joiner", b"a")
    assert (invites.burn(tx, "two"), invites.burn(tx, "two"), invites.burn(tx, "one")) == (True, False, False)
    assert not invites.consume(tx, "two", "joiner", b"b", now=60)
    assert invites.purge(tx, 60) == 1
    assert len(invites.ALL.all(tx)) == 2


def test_an_operation_is_answered_once(tx: Tx) -> None:
    assert operations.ANSWER.one(tx, op="op") is None
    operations.remember(tx, "op", 5, {"id": "x"})
    assert operations.ANSWER.one(tx, op="op") == {"id": "x"}
    with pytest.raises(sqlite3.IntegrityError):
        operations.remember(tx, "op", 6, {})
    assert (operations.purge(tx, 5), operations.purge(tx, 6)) == (0, 1)


def test_attempts(tx: Tx) -> None:
    for n in (1, 2, 3):
        attempts.prepare(tx, "s", n, f"attempts/s.{n}", 10 * n)
    with pytest.raises(sqlite3.IntegrityError):
        attempts.prepare(tx, "s", 2, "elsewhere", 0)
    assert attempts.fenced(tx, "s", 1, 11)
    assert not attempts.started(tx, "s", 1, 12)
    assert attempts.started(tx, "s", 2, 21)
    assert attempts.ended(tx, "s", 2, 22, {"code": 3})
    assert not attempts.ended(tx, "s", 2, 23, None)
    first, second, _ = attempts.OF_SPAWN.all(tx, spawn="s")
    assert (first.state, first.ended, first.exit) == (AttemptState.FENCED, 11, None)
    assert (second.state, second.started, second.ended, second.exit) == (AttemptState.ENDED, 21, 22, {"code": 3})
    newest = attempts.NEWEST.one(tx, spawn="s")
    assert newest is not None and (newest.n, newest.state) == (3, AttemptState.PREPARED)


def test_words(tx: Tx) -> None:
    told = [SignedWord("s", attempt, seq, State.RUNNING, 0, b"sig", b"b") for attempt, seq in ((1, 5), (2, 1), (1, 9))]
    assert [words.keep(tx, word) for word in (*told, told[0])] == [True, True, True, False]
    assert words.LATEST.one(tx, spawn="s") == told[1]
    assert len(words.WORDS.all(tx, spawn="s")) == 3
    assert words.forget_older(tx, "s") == 2
    assert words.WORDS.all(tx, spawn="s") == [told[1]]
    assert words.FOLDED.one(tx, spawn="s") == [(1, 5, State.RUNNING, 0, ""), (1, 9, State.RUNNING, 0, "")]


def test_what_forgotten_words_said_is_kept_and_bounded(tx: Tx) -> None:
    target = from_digest(bytes(32))
    for seq in range(1, 101):
        data = word(1, 1, seq, State.WAITING, target=target, reason=f"place {seq} " + "x" * 500).to_bytes()
        words.keep(tx, SignedWord("s", 1, seq, State.WAITING, seq, b"sig", data))
        if seq in (50, 100):
            words.forget_older(tx, "s")
    folded = words.FOLDED.one(tx, spawn="s")
    assert folded is not None and [each[1] for each in folded] == list(range(36, 100))
    assert folded[0][4].startswith("place 36 ") and len(folded[0][4]) == words.FOLDED_REASON
    assert words.forget_older(tx, "s") == 0


def test_of_the_words_on_one_spawn_the_newest_are_kept(tx: Tx) -> None:
    for seq in range(1, 101):
        words.keep(tx, SignedWord("s", 1, seq, State.RUNNING, 0, b"sig", b"b"))
        words.keep_newest(tx, "s", 8)
    assert [word.seq for word in words.WORDS.all(tx, spawn="s")] == list(range(93, 101))
    words.keep(tx, SignedWord("s", 1, 1, State.RUNNING, 0, b"sig", b"b"))
    words.keep_newest(tx, "s", 8)
    assert len(words.WORDS.all(tx, spawn="s")) == 8, "an old one does not stay either"


def test_the_word_on_what_never_came_goes_with_its_tombstone(tx: Tx) -> None:
    words.bury(tx, HERE, "s", 10)
    words.keep(tx, SignedWord("s", 0, 1, State.CANCELLED, 0, b"sig", b"b"))
    assert words.purge_tombstones(tx, 11) == 1
    assert words.WORDS.all(tx, spawn="s") == []


def test_a_tail_of_an_earlier_attempt_comes_too_late(tx: Tx) -> None:
    two, one, more = (Tail(n, 5, (Piece(end - 3, end, 1, 4, b"\x1b[m"),)) for n, end in ((2, 20), (1, 90), (2, 30)))
    assert tails.keep(tx, "s", two)
    assert not tails.keep(tx, "s", one)
    assert tails.keep(tx, "s", more)
    assert not tails.keep(tx, "s", two), "nor does an earlier one of the same attempt replace a later one"
    assert tails.TAIL.one(tx, spawn="s") == more


def test_a_tail_goes_at_the_target_once_it_is_told_and_stays_at_the_origin(tx: Tx) -> None:
    tail = Tail(1, 5, (Piece(0, 9, 0, 4, b"tail"),))
    for spawn in ("here", "there"):
        tails.keep(tx, spawn, tail)
    attempts.prepare(tx, "here", 1, "f", 0)
    assert (tails.forget_told(tx, "here"), tails.forget_told(tx, "there")) == (True, False)
    assert tails.TAIL.one(tx, spawn="here") is None
    assert tails.TAIL.one(tx, spawn="there") == tail


def test_tombstones_are_of_one_origin(tx: Tx) -> None:
    words.bury(tx, HERE, "s", 10)
    words.bury(tx, HERE, "s", 5)
    assert words.is_buried(tx, HERE, "s")
    assert not words.is_buried(tx, THERE, "s")
    assert (words.purge_tombstones(tx, 10), words.purge_tombstones(tx, 11)) == (0, 1)


def test_no_origin_buries_without_end(tx: Tx) -> None:
    assert words.bury(tx, HERE, "s0", 10)
    most = [(HERE, f"s{n}", 10) for n in range(1, words.MOST_TOMBSTONES - 1)]
    tx.executemany("INSERT INTO tombstones VALUES (?, ?, ?)", most)  # `bury` counts all that are there, each time
    assert [words.bury(tx, HERE, name, 10) for name in ("the last", "one more")] == [True, False]
    assert words.bury(tx, HERE, "s0", 20) and words.bury(tx, THERE, "s", 10)


def test_events_resume_and_say_when_they_cannot(tx: Tx) -> None:
    def are_missed(*numbers: int) -> list[int | None]:
        return [events.ARE_MISSED.one(tx, seq=number) for number in numbers]

    assert events.HIGHEST.one(tx) == 0
    assert are_missed(0, 1) == [0, 1]
    assert [add_event(tx, number) for number in range(10)] == list(range(1, 11))
    assert [event.seq for event in events.SINCE.all(tx, seq=4, limit=3)] == [5, 6, 7]
    assert events.purge(tx, 4) == 6
    assert events.HIGHEST.one(tx) == 10
    assert are_missed(0, 5, 6, 10, 11) == [1, 1, 0, 0, 1]
    events.purge(tx, 0)
    assert are_missed(9, 10, 11) == [1, 0, 1]
    assert add_event(tx, 1) == 11, "a number never comes back"


def test_audit_entries_are_chained_by_their_maker(tx: Tx) -> None:
    def make(seq: int, previous: bytes) -> tuple[bytes, bytes]:
        entry = b"entry %d" % seq
        return entry, hashlib.sha256(previous + entry).digest()

    assert audit.HEAD.one(tx) is None
    heads = [audit.append(tx, 5, audit.HEAD.one(tx) or audit.NONE, make) for _ in range(3)]
    rows = audit.SINCE.all(tx, seq=0, limit=9)
    previous = audit.GENESIS
    for row in rows:
        assert row.hash == make(row.seq, previous)[1]
        previous = row.hash
    assert audit.HEAD.one(tx) == heads[-1]
    assert [row.seq for row in audit.NEWEST.all(tx, limit=2)] == [3, 2]

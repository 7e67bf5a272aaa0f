"""What is typed while nothing is attached: for a moment all of it is kept, then nothing."""

from __future__ import annotations

from relay.cli.typed_ahead import KEPT_S, MOST_KEPT, TypedAhead
from relay.cli.unanswered import MOST_UNACKNOWLEDGED, MOST_WAITING, Unanswered


def broken() -> TypedAhead:
    ahead = TypedAhead()
    ahead.broke(100.0)
    return ahead


def test_a_short_break_loses_nothing() -> None:
    ahead = broken()
    assert ahead.add(b"ls ", 101.0) and ahead.add(b"-l\r", 100 + KEPT_S - 0.1)
    ahead.broke(110.0)  # a try that failed begins no new break
    assert not ahead.gives_up(100 + KEPT_S - 0.1)
    assert ahead.mended() == b"ls -l\r" and ahead.mended() == b""


def test_a_long_one_drops_all_of_it_and_what_comes_later() -> None:
    ahead = broken()
    assert ahead.add(b"rm -rf /tm", 101.0)
    assert ahead.gives_up(100 + KEPT_S) and not ahead.gives_up(101 + KEPT_S)
    assert not ahead.add(b"p/x\r", 101 + KEPT_S) and ahead.drops
    assert ahead.mended() == b"" and not ahead.drops


def test_half_of_what_is_too_much_is_not_continued() -> None:
    ahead = broken()
    assert ahead.add(bytes(MOST_KEPT), 101.0)
    assert not ahead.add(b"x", 102.0) and not ahead.add(b"", 103.0)
    assert ahead.mended() == bytes(MOST_KEPT)


def test_the_next_break_begins_anew() -> None:
    ahead = broken()
    assert ahead.gives_up(200.0)
    ahead.mended()
    ahead.broke(300.0)
    assert ahead.add(b"x", 301.0) and ahead.mended() == b"x"


def test_what_is_not_answered_waits_in_order_and_is_bounded() -> None:
    out, sent, typed = Unanswered(), list[bytes | None](), b""
    while out.may_read(ahead=True):
        piece = b"%07d " % len(typed) * 500
        typed += piece
        sent += [out.sent[n] for n in out.add(piece)]
    assert len(sent) == MOST_UNACKNOWLEDGED and not out.may_read(ahead=False)
    assert len(typed) - len(b"".join(each or b"" for each in sent)) < MOST_WAITING + 4096
    for n in range(1, 10_000):
        sent += [out.sent[each] for each in out.answered(n)]
    assert b"".join(each or b"" for each in sent) == typed and not out.sent
    assert out.add(None) == [len(sent) + 1] and out.sent[len(sent) + 1] is None


def test_the_end_comes_behind_what_waits() -> None:
    out, sent = Unanswered(), list[bytes | None]()
    for data in (*(b"a" for _ in range(MOST_UNACKNOWLEDGED)), b"last", None):
        sent += [out.sent[n] for n in out.add(data)]
    for n in range(1, 2 * MOST_UNACKNOWLEDGED):
        sent += [out.sent[each] for each in out.answered(n)]
    assert sent[MOST_UNACKNOWLEDGED:] == [b"last", None] and not out.sent

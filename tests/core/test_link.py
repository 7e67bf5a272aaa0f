"""The machine of one link, driven by frames and moments."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, PeerFault
from relay.core.frames import Batch, Bye, Credit, Frame, HelloFrame, Ping, Pong, Said
from relay.core.link import (
    ANSWER_WITHIN,
    BUSY_PING,
    CHECK_WITHIN,
    HELLO_TIMEOUT,
    IDLE_PING,
    MAX_IN_HAND,
    PING_STEP,
    RECEIVE_WINDOW,
    Close,
    Granted,
    Greet,
    Hear,
    LinkMachine,
    LinkState,
    RoundTrip,
    Send,
    Take,
)

T = 1_000_000
OTHERS: list[Frame] = [Batch((b"e",)), Said((b"p",)), Ping(1), Pong(1), Credit(1)]


def up(at: int = T) -> LinkMachine:
    machine = LinkMachine(at)
    assert machine.receive(HelloFrame(b"hello"), at) == [Greet(b"hello")]
    machine.accept(at)
    return machine


def asked_at(quiet_since: int) -> int:
    """When a link is asked that nothing was heard over since: at a whole step, with others."""
    return -(-(quiet_since + IDLE_PING) // PING_STEP) * PING_STEP


# the hello


def test_the_hello_comes_first() -> None:
    machine = LinkMachine(T)
    assert machine.receive(HelloFrame(b"hello"), T) == [Greet(b"hello")]
    before = machine.state
    assert before is LinkState.OPENING, "only its verification brings the link up"
    machine.accept(T)
    after = machine.state
    assert after is LinkState.UP


@pytest.mark.parametrize("frame", OTHERS, ids=lambda frame: type(frame).__name__)
def test_nothing_else_comes_before_it(frame: Frame) -> None:
    for greeted in (False, True):
        machine = LinkMachine(T)
        if greeted:
            machine.receive(HelloFrame(b"hello"), T)
        with pytest.raises(PeerFault) as caught:
            machine.receive(frame, T)
        assert caught.value.code is Code.BAD_FRAME


def test_it_comes_once() -> None:
    machine = LinkMachine(T)
    machine.receive(HelloFrame(b"hello"), T)
    for state in (machine, up()):
        with pytest.raises(PeerFault):
            state.receive(HelloFrame(b"hello"), T)


def test_a_goodbye_may_come_instead() -> None:
    machine = LinkMachine(T)
    assert machine.receive(Bye("refused: stranger"), T) == [Close("the other side said: refused: stranger")]
    assert machine.state is LinkState.CLOSED and machine.next_deadline() is None


def test_a_hello_that_does_not_come() -> None:
    machine = LinkMachine(T)
    assert machine.next_deadline() == T + HELLO_TIMEOUT == T + 10_000
    assert machine.tick(T + HELLO_TIMEOUT - 1) == []
    assert machine.tick(T + HELLO_TIMEOUT) == [Close("no hello within 10 s")]
    assert machine.state is LinkState.CLOSED


# frames


def test_what_each_frame_asks_for() -> None:
    machine = up()
    assert machine.receive(Batch((b"one", b"two")), T) == [Take((b"one", b"two"))]
    assert machine.receive(Said((b"one", b"two")), T) == [Hear((b"one", b"two"))]
    assert machine.receive(Ping(7), T) == [Send(Pong(7))]
    assert machine.receive(Credit(5), T) == [Granted()]
    assert machine.receive(Bye("down"), T) == [Close("the other side said: down")]


@pytest.mark.parametrize("frame", [*OTHERS, HelloFrame(b""), Bye("x")], ids=lambda frame: type(frame).__name__)
def test_a_closed_link_hears_nothing(frame: Frame) -> None:
    machine = up()
    machine.receive(Bye("down"), T)
    assert machine.receive(frame, T) == [] == machine.tick(T + 10**9) == machine.ping_now(T)


# time


def test_an_idle_link_is_found_dead_within_60_s() -> None:
    machine = up()
    due = asked_at(T)
    assert machine.next_deadline() == due
    assert machine.tick(due) == [Send(Ping(1))]
    assert machine.tick(due + ANSWER_WITHIN // 2) == []
    assert machine.next_deadline() == due + ANSWER_WITHIN
    assert machine.tick(due + ANSWER_WITHIN) == [Close("no answer to a ping within 6 s")]
    assert IDLE_PING + PING_STEP + ANSWER_WITHIN <= 60_000


def test_idle_links_are_asked_together() -> None:
    """Each alone would wake the process: a thousand links that came up one after another are asked at few moments."""
    moments = {up(T + 7 * each).next_deadline() for each in range(1_000)}
    assert len(moments) <= 7_000 // PING_STEP + 1


def test_of_two_that_are_silent_together_one_asks() -> None:
    dialled, accepted = LinkMachine(T, leads=True), LinkMachine(T)
    for machine in (dialled, accepted):
        machine.receive(HelloFrame(b"h"), T)
        machine.accept(T)
    for _ in range(10):
        now = dialled.next_deadline()
        assert now is not None
        assert accepted.tick(now) == []
        (ping,) = dialled.tick(now)
        assert isinstance(ping, Send)
        (pong,) = accepted.receive(ping.frame, now + 100)
        assert isinstance(pong, Send)
        dialled.receive(pong.frame, now + 200)


def test_who_asks_second_finds_a_dead_link_within_60_s_all_the_same() -> None:
    accepted = LinkMachine(T)
    accepted.receive(HelloFrame(b"h"), T)
    accepted.accept(T)
    silent_from = T + 50_000
    accepted.receive(Ping(1), silent_from)
    asks = accepted.next_deadline()
    assert asks is not None
    assert accepted.tick(asks) == [Send(Ping(1))]
    looks = accepted.next_deadline()
    assert looks is not None and accepted.tick(looks) == []
    ends = accepted.next_deadline()
    assert ends is not None and isinstance(accepted.tick(ends)[0], Close)
    assert ends - silent_from <= 60_000


def test_a_link_with_something_unanswered_is_found_dead_within_10_s() -> None:
    machine = up()
    machine.sent(100, T + 50, awaits_receipt=True)
    assert machine.next_deadline() == T + 50 + BUSY_PING
    assert machine.tick(T + 50 + BUSY_PING) == [Send(Ping(1))]
    assert machine.tick(T + 50 + BUSY_PING + ANSWER_WITHIN)[0] == Close("no answer to a ping within 6 s")
    assert BUSY_PING + ANSWER_WITHIN <= 10_000


def test_what_needs_no_receipt_makes_no_hurry() -> None:
    machine = up()
    machine.sent(100, T, awaits_receipt=False)
    assert machine.next_deadline() == asked_at(T)


def test_what_is_answered_makes_no_hurry_either() -> None:
    machine = up()
    machine.sent(100, T, awaits_receipt=True)
    machine.sent(100, T + 500, awaits_receipt=True)
    machine.answered(False, T + 1_000)
    assert machine.next_deadline() == T + 1_000 + BUSY_PING
    machine.answered(True, T + 1_500)
    assert machine.next_deadline() == asked_at(T)


def test_whatever_is_heard_puts_the_ping_of_an_idle_link_off() -> None:
    machine = up()
    machine.receive(Credit(1), T + 2_000)
    assert machine.next_deadline() == asked_at(T + 2_000)


def test_an_answer_that_was_not_asked_for_keeps_no_link_alive() -> None:
    machine = up()
    machine.sent(100, T, awaits_receipt=True)
    for passed in range(500, 3_000, 500):
        machine.receive(Pong(99), T + passed)
    assert machine.next_deadline() == T + BUSY_PING
    assert machine.tick(T + BUSY_PING) == [Send(Ping(1))]
    machine.receive(Pong(98), T + BUSY_PING + 1_000)
    assert isinstance(machine.tick(T + BUSY_PING + ANSWER_WITHIN)[0], Close)


def test_over_a_slow_wire_what_comes_puts_the_ping_off() -> None:
    """What is sent stands in a queue of a megabyte; a ping would stand behind it and be answered too late."""
    machine = up()
    machine.sent(100, T, awaits_receipt=True)
    machine.receive(Credit(1), T + 2_000)
    assert machine.next_deadline() == T + 2_000 + BUSY_PING


def test_while_something_is_unanswered_pings_go_on() -> None:
    machine = up()
    machine.sent(100, T, awaits_receipt=True)
    machine.tick(T + BUSY_PING)
    machine.receive(Pong(1), T + BUSY_PING + 10)
    assert machine.next_deadline() == T + BUSY_PING + 10 + BUSY_PING


def test_a_ping_is_answered() -> None:
    machine = up()
    assert machine.ping_now(T) == [Send(Ping(1))]
    assert machine.ping_now(T + 1) == [], "one at a time"
    assert machine.receive(Pong(2), T + 5) == [], "another number answers nothing"
    assert machine.receive(Pong(1), T + 30) == [RoundTrip(30)]
    assert machine.receive(Pong(1), T + 31) == []
    assert machine.next_deadline() == asked_at(T + 31)
    assert machine.ping_now(T + 40) == [Send(Ping(2))]


def test_other_frames_do_not_answer_a_ping() -> None:
    machine = up()
    machine.ping_now(T)
    machine.receive(Batch((b"e",)), T + 5_000)
    assert machine.tick(T + ANSWER_WITHIN) == [Close("no answer to a ping within 6 s")]


def test_before_the_hello_nobody_is_asked() -> None:
    assert LinkMachine(T).ping_now(T) == [] == LinkMachine(T).check_now(T)


def test_a_check_asks_anew_and_waits_less_long() -> None:
    """The ping that is out may have gone over a path that is no more, and what is heard may have lain here."""
    machine = up()
    machine.ping_now(T)
    assert machine.check_now(T + 100) == [Send(Ping(2))]
    machine.receive(Pong(1), T + 150)
    machine.receive(Batch((b"e",)), T + 1_500)
    assert machine.tick(T + 1_600) == machine.check_now(T + 1_600) == [], "to ask again puts the end off no further"
    assert machine.tick(T + 100 + CHECK_WITHIN) == [Close("no answer to a ping within 2 s")]


def test_a_check_that_is_answered_is_over() -> None:
    machine = up()
    machine.check_now(T)
    assert machine.receive(Pong(1), T + 30) == [RoundTrip(30)]
    machine.ping_now(T + 40)
    assert machine.next_deadline() == T + 40 + ANSWER_WITHIN // 2
    assert machine.check_now(T + 50) == [Send(Ping(3))]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9_000), st.sampled_from(["sent", "answered", "heard", "tick"]))))
def test_silence_is_always_found_in_time(history: list[tuple[int, str]]) -> None:
    """Whatever happened before: from the last word of the other side on, it takes at most 60 s, busy 9 s and a tick."""
    machine, now = up(), T
    for passed, what in history:
        now += passed
        if what == "sent":
            machine.sent(1, now, awaits_receipt=True)
        elif what == "answered":
            machine.answered(False, now)
        elif what == "heard":
            machine.receive(Credit(0), now)
        machine.tick(now)
        if machine.state is LinkState.CLOSED:
            return
    silent_from = now
    while machine.state is LinkState.UP:
        deadline = machine.next_deadline()
        assert deadline is not None
        now = max(now, deadline)
        machine.tick(now)
    assert now - silent_from <= IDLE_PING + PING_STEP + ANSWER_WITHIN


# credit


def test_what_is_sent_is_paid_for() -> None:
    machine = up()
    machine.sent(1_000, T, awaits_receipt=True)
    machine.sent(500, T, awaits_receipt=False)
    assert machine.credit == RECEIVE_WINDOW - 1_500
    machine.receive(Credit(1_000), T)
    assert machine.credit == RECEIVE_WINDOW - 500
    machine.receive(Credit(2**50), T)
    assert machine.credit == RECEIVE_WINDOW, "nobody is given more than a window"


def test_credit_is_given_back_in_quarters() -> None:
    machine = up()
    quarter = RECEIVE_WINDOW // 4
    assert machine.taken(quarter - 1) == []
    assert machine.taken(1) == [Send(Credit(quarter))]
    assert machine.taken(10) == []


def test_what_is_said_on_channels_is_dealt_with_as_it_comes() -> None:
    machine, piece = up(), bytes(RECEIVE_WINDOW // 16)
    effects = [effect for _ in range(64) for effect in machine.receive(Said((piece,)), T)]
    assert effects.count(Hear((piece,))) == 64
    assert effects.count(Send(Credit(RECEIVE_WINDOW // 4))) == 16 and machine._in_hand == 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 300 * 1024), max_size=60))
def test_credit_is_neither_lost_nor_made(sizes: list[int]) -> None:
    """Two machines: what one has spent is what the other has in hand or owes."""
    sender, receiver = up(), up()
    for size in sizes:
        if sender.credit < size:
            break
        sender.sent(size, T, awaits_receipt=True)
        receiver.receive(Batch((bytes(size),)), T)
        for effect in receiver.taken(size):
            assert isinstance(effect, Send)
            sender.receive(effect.frame, T)
    assert sender.credit + receiver._owed == RECEIVE_WINDOW
    assert receiver._in_hand == 0


def test_who_sends_far_beyond_its_credit_is_cut_off() -> None:
    machine, batch = up(), Batch((bytes(256 * 1024),))
    for _ in range(MAX_IN_HAND // (256 * 1024)):
        assert machine.receive(batch, T) == [Take(batch.envelopes)]
    with pytest.raises(PeerFault) as caught:
        machine.receive(batch, T)
    assert caught.value.code is Code.BAD_FRAME

"""What to ask for next: bounded, never twice in flight, never what is here; and it ends whatever is lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.blobs import Shape
from relay.core.pulling import AHEAD, MAX_PATIENCE, MAX_WRONG, OVERTAKEN, PATIENCE, STEP, WINDOW, Pull

SHAPES = st.builds(Shape, st.integers(0, 200), st.integers(1, 3), st.integers(2, 6))


def _finish(pull: Pull, asked: list[int], now: int) -> None:
    """A path that loses nothing."""
    for _ in range(pull.shape.total + 3):
        for item in asked:
            assert pull.received(item, now)
            pull.written(item)
        if pull.complete:
            return
        asked = pull.ask(now)
        assert asked, "something is missing, nothing is in flight, and nothing is asked for"
    raise AssertionError("it does not end")


@given(SHAPES, st.integers(1, WINDOW))
def test_a_fair_path_brings_each_item_once_in_order(shape: Shape, window: int) -> None:
    pull, order, flying = Pull(shape, window=window), [], []
    while not pull.complete:
        flying += pull.ask(0)
        item = flying.pop(0)
        order.append(item)
        assert pull.received(item, 0)
        pull.written(item)
    assert order == list(range(shape.total))
    assert pull.ask(0) == [] and pull.deadline() is None


def test_what_is_free_again_is_asked_for_a_few_at_a_time() -> None:
    pull = Pull(Shape(100, chunk=1, fanout=200))
    _answer(pull, pull.ask(0))
    flying = pull.ask(0)
    assert len(flying) == WINDOW
    for count in range(1, STEP):
        _answer(pull, [flying.pop(0)])
        assert pull.ask(0) == [], f"a request of its own for {count}"
    _answer(pull, [flying.pop(0)])
    assert len(pull.ask(0)) == STEP


@settings(max_examples=300)
@given(st.data(), SHAPES)
def test_whatever_happens(data: st.DataObject, shape: Shape) -> None:
    pull = Pull(shape, done=data.draw(st.integers(0, shape.total)))
    pull.found(data.draw(st.sets(st.integers(0, shape.total - 1), max_size=5)))
    here = {item for item in range(shape.total) if pull.is_here(item)}
    flying: set[int] = set()
    hand: list[int] = []
    late: list[int] = []
    now = 0
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["ask", "come", "come", "write", "wrong", "back", "cut", "wait", "stray"])):
            case "ask":
                asked = pull.ask(now)
                assert not set(asked) & (here | flying | set(hand)), "asked for what is here or under way"
                assert all(item == 0 or shape.item(shape.parent(shape.place(item))) in here for item in asked)
                assert all(item < pull.done + AHEAD for item in asked)
                flying |= set(asked)
                assert len(flying) + len(hand) <= WINDOW
            case "come" if flying:
                item = data.draw(st.sampled_from(sorted(flying)))
                assert pull.received(item, now)
                hand.append(item)
                flying = {each for each in flying if each in pull._flight}
            case "write" if hand:
                here.add(hand[-1])
                pull.written(hand.pop())
            case "wrong" if hand:
                pull.refused(hand.pop())
            case "back" if hand:
                pull.put_back(hand.pop())
            case "cut":
                late += sorted(flying)
                pull.path_lost()
                flying.clear()
            case "wait":
                now += data.draw(st.integers(0, 2 * MAX_PATIENCE))
                if pull.tick(now):
                    flying.clear()
            case "stray" if late:
                item = late.pop()
                if item not in flying and pull.received(item, now):
                    assert item not in here and item not in hand
                    hand.append(item)
                    flying = {each for each in flying if each in pull._flight}
        assert pull.in_flight == len(flying)
        assert {item for item in range(shape.total) if pull.is_here(item)} == here
        assert pull.complete == (len(here) == shape.total)
        assert set(range(pull.done)) <= here
    for item in hand:
        pull.written(item)
    pull.path_lost()
    _finish(pull, [], now)


def test_what_later_ones_have_overtaken_is_lost() -> None:
    pull = Pull(Shape(1000, 1, 2_000))
    _answer(pull, pull.ask(0))
    asked = pull.ask(0)
    assert len(asked) == WINDOW
    for item in asked[1:]:
        pull.received(item, 1)
        pull.written(item)
    again = pull.ask(1)
    assert again[0] == asked[0] and OVERTAKEN < WINDOW


def _answer(pull: Pull, items: list[int]) -> None:
    for item in items:
        assert pull.received(item, 0)
        pull.written(item)


def test_silence_is_borne_longer_each_time_and_then_everything_is_asked_again() -> None:
    pull = Pull(Shape(1000, 1, 2_000))
    _answer(pull, pull.ask(0))
    asked = pull.ask(100)
    assert pull.deadline() == 100 + PATIENCE
    assert not pull.tick(99 + PATIENCE) and pull.tick(100 + PATIENCE)
    assert pull.ask(6_000) == asked[: WINDOW // 2]
    assert pull.deadline() == 6_000 + 2 * PATIENCE
    for now in range(10**6, 2 * 10**7, 10**6):
        assert pull.tick(now)
        assert set(pull.ask(now)) <= set(asked)
    assert (pull.patience, pull.in_flight) == (MAX_PATIENCE, 1)


def test_a_slow_path_is_not_filled_with_copies() -> None:
    """An item takes 7 s, more than silence is borne at first; what was asked twice has a bound."""
    pull = Pull(Shape(200, 1, 2_000))
    queue, now, sent = pull.ask(0), 0, 0
    while not pull.complete:
        now += 7_000
        while (due := pull.deadline()) is not None and due < now:
            pull.tick(due)
            queue += pull.ask(due)
        sent += 1
        item = queue.pop(0)
        if pull.received(item, now):
            pull.written(item)
        queue += pull.ask(now)
        assert len(queue) <= 3 * WINDOW
    assert sent <= pull.shape.total + 3 * WINDOW


def test_a_restart_asks_for_nothing_that_is_here() -> None:
    pull = Pull(Shape(1000, 1, 2_000), done=500)
    pull.found([502, 503, 700])
    assert pull.ask(0)[:3] == [500, 501, 504]


def test_the_sender_of_wrong_bytes_is_given_up() -> None:
    pull = Pull(Shape(1000, 1, 2_000))
    for _ in range(MAX_WRONG):
        assert not pull.given_up
        assert pull.ask(0) == [0]
        assert pull.received(0, 0)
        pull.refused(0)
    assert pull.given_up


def test_out_of_order_items_have_a_bound() -> None:
    """One item that never comes does not let the rest be remembered without end."""
    pull = Pull(Shape(1_000_000, 1, 2_000))
    _answer(pull, pull.ask(0))
    held = pull.ask(0)[0]
    while asked := [item for item in pull.ask(0) if item != held] or sorted(set(pull._flight) - {held}):
        _answer(pull, asked)
        if len(pull._here) >= AHEAD - 1:
            break
    assert len(pull._here) <= AHEAD

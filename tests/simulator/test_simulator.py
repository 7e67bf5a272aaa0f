"""Schedules of the simulated core: none breaks a promise; and a planted bug is found."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest

from relay.core import delivery, link
from relay.core.delivery import Outgoing, Window
from relay.testing.simulator import Outcome, Plan, Violation, run
from relay.testing.simulator.broker import SimBroker
from relay.testing.simulator.disk import FAILED, Mail, Then
from relay.testing.simulator.hostile import HostileKeeping
from relay.testing.simulator.link import SimLink
from relay.testing.simulator.network import Roughness
from relay.testing.simulator.timeline import Timeline
from relay.testing.simulator.ways import SimOutbox
from relay.testing.simulator.world import Seam, SimEntry

SUITE, CHAOS, RACES = 2_000, 200_000, 10_000
AT_ONCE = 1_000
FOUND_WITHIN = 3_000


def _first_seed() -> int:
    return int(os.environ.get("RELAY_SIMULATOR_SEED", "0")) or random.SystemRandom().getrandbits(32)


def _run_many(first: int, count: int) -> list[Outcome]:
    return [run(seed) for seed in range(first, first + count)]


def test_the_same_seed_is_the_same_schedule() -> None:
    assert [run(seed) for seed in range(20)] == [run(seed) for seed in range(20)]
    assert run(1) != run(2)


@pytest.mark.timeout(300)
def test_schedules() -> None:
    """2,000 of them, other ones each time; RELAY_SIMULATOR_SEED runs the ones of a failure again."""
    outcomes = _run_many(_first_seed(), SUITE)
    assert sum(outcome.accepted for outcome in outcomes) > SUITE


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_many_schedules() -> None:
    """200,000 on all cores, with the rate of one printed."""
    first = _first_seed()
    firsts = range(first, first + CHAOS, AT_ONCE)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_counted, firsts))
    steps, accepted, seconds = map(sum, zip(*parts, strict=True))
    rate = CHAOS / seconds
    words = f"{CHAOS:,} schedules from seed {first}, {rate:.0f}/s a core, {steps:,} steps, {accepted:,} spawns"
    sys.stdout.write(f"\nsimulator: {words}\n")


def _counted(first: int) -> tuple[int, int, float]:
    """Steps, accepted spawns and processor seconds of a thousand."""
    started = time.process_time()
    outcomes = _run_many(first, AT_ONCE)
    seconds = time.process_time() - started
    return sum(each.steps for each in outcomes), sum(each.accepted for each in outcomes), seconds


TWO_AT_ONCE = Plan(brokers=2, spawns=1, crashes=0, partitions=0, trouble_ms=10, failing=0.0, rough=Roughness(delay=30))


def test_brokers_that_dial_each_other_at_once_end_with_one_link() -> None:
    """That they share one link is what the oracle asks at the end of each schedule."""
    for seed in range(200):
        run(seed, TWO_AT_ONCE)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_many_that_dial_each_other_at_once() -> None:
    """10,000 races."""
    first = _first_seed()
    for seed in range(first, first + RACES):
        run(seed, TWO_AT_ONCE)
    sys.stdout.write(f"\nsimultaneous dials: {RACES:,} races from seed {first}, one link each\n")


THROUGH_THE_MIDDLE = Plan(
    brokers=3,
    spawns=6,
    crashes=4,
    partitions=3,
    trouble_ms=5_000,
    failing=0.1,
    rough=Roughness(delay=20),
    holder=True,
    strangers=True,
)


@pytest.mark.parametrize("hostile", [False, True], ids=["honest", "hostile"])
def test_a_holder_in_the_middle(hostile: bool) -> None:
    """Two that never meet, or only in the end; what a hostile one between them does costs time and nothing else."""
    first = _first_seed()
    for seed in range(first, first + 300):
        run(seed, replace(THROUGH_THE_MIDDLE, hostile=hostile))


def test_a_second_holder_that_is_honest_delivers_in_time_what_the_hostile_one_does_not() -> None:
    """The two never meet; nothing is done twice, and within half an hour all is delivered, receipts lost or not."""
    first = _first_seed()
    for seed in range(first, first + 200):
        run(seed, replace(THROUGH_THE_MIDDLE, brokers=4, hostile=True, second=True))


def test_half_of_the_hostile_schedules_have_a_second_holder() -> None:
    plans = [Plan.drawn(Timeline(seed)) for seed in range(2_000)]
    second = [plan.second for plan in plans if plan.hostile and plan.holder]
    assert 0.4 < sum(second) / len(second) < 0.6
    assert all(plan.strangers and plan.brokers == 4 for plan in plans if plan.second)


# planted bugs


class ReceiptsBeforeCommit(SimBroker):
    """Answers what it has not committed yet."""

    def take_durable(self, link: SimLink, mails: list[Mail], size: int) -> None:
        def taken(outcome: object) -> None:
            if not link.ended:
                link.taken(size)

        self.answer(mails)
        self.take_in(mails, taken)


class DedupesApart(SimBroker):
    """Acts in one transaction and remembers that it did in the next."""

    def take_in(self, mails: list[Mail], then: Then) -> None:
        def remember(outcome: object) -> None:
            if outcome is FAILED:
                then(outcome)
            else:
                self.disk.submit(lambda tables: [self.is_new(tables, mail) for mail in mails], then)

        def decide(entry: SimEntry) -> None:
            for mail in mails:
                if mail.n not in entry.tables.seen:
                    self.act(entry, mail)

        self.commit(decide, remember, may_fail=True)


def _found(broker: type[SimBroker] = SimBroker) -> str:
    for seed in range(FOUND_WITHIN):
        try:
            run(seed, broker=broker)
        except Violation as violation:
            assert str(violation).startswith(f"seed {seed}, ")
            return str(violation)
    raise AssertionError(f"not found in {FOUND_WITHIN} schedules")


@pytest.mark.parametrize(
    ("broker", "words"),
    [(ReceiptsBeforeCommit, "never committed it"), (DedupesApart, "had its effect twice")],
    ids=["receipt before commit", "dedupe apart"],
)
def test_a_planted_bug_of_the_shell_is_found(broker: type[SimBroker], words: str) -> None:
    assert words in _found(broker)


def _marks_what_may_not_be_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Window.link_lost

    def lost(window: Window) -> None:
        honest(window)
        window._queue = type(window._queue)(replace(row, tried=True) for row in window._queue)

    monkeypatch.setattr(Window, "link_lost", lost)


def _forgets_what_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def offer(window: Window, row: Outgoing) -> None:
        if window.complete:
            window._append(row)

    monkeypatch.setattr(Window, "offer", offer)


def _loses_what_was_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Window, "link_lost", lambda window: window._flight.clear())


def _any_terminal_may_follow_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy takes whatever word comes last."""

    def copy(broker: SimBroker, tables: object, mail: Mail) -> None:
        copy = broker.disk.tables.copies[mail.spawn]
        before, copy.order, copy.state = copy.order, mail.content.order, mail.content.state
        broker.oracle.copied(mail.spawn, before, copy)

    monkeypatch.setattr(SimBroker, "_copy", copy)


def _both_links_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(broker: SimBroker, link: SimLink) -> bool:
        broker.links[link.peer] = link
        return True

    monkeypatch.setattr(SimBroker, "settle", settle)


def _the_first_link_stays_whoever_is_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a restarted broker waits until its old connection is found dead; that alone is slow, not wrong."""
    monkeypatch.setattr("relay.testing.simulator.broker.replaces", lambda present, new, age: False)
    monkeypatch.setattr(SimLink, "check_now", lambda link: None)
    monkeypatch.setattr(link, "IDLE_PING", 10**9)


def _never_resends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery.Window, "resend", lambda window, now: None)


def _custody_counts_as_a_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(ways: SimOutbox, holder: int, answers: list[tuple[bytes, str]]) -> None:
        for recipient in range(3):
            ways._broker._receipted(recipient, [envelope for envelope, _ in answers])

    monkeypatch.setattr(SimOutbox, "answered", answered)


def _reads_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Window, "begin_anew", lambda window: None)


def _never_hands_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimOutbox, "_is_due", lambda ways, row: False)


def _anybody_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a holder hands over is taken for its origin's though its bytes were bent."""
    monkeypatch.setattr(Seam, "open", lambda seam, raw: seam._kept[int.from_bytes(raw[:8], "big") - 1][0])
    monkeypatch.setattr(HostileKeeping, "_hand_out_badly", _swaps_recipients)


def _swaps_recipients(keeping: HostileKeeping) -> None:
    broker = keeping._broker
    for each in list(broker.disk.tables.held.values()):
        if each.mail.kind == "receipt" and each.mail.recipient in broker.links:
            told = replace(each.mail, content=[bytes(8) + n.to_bytes(8, "big") for n in range(1, broker.world.mails)])
            broker.links[each.mail.recipient].send_live(broker.seam.keep(told))


def _never_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link.LinkMachine, "ping_now", lambda machine, now, arrived=0: [])


@pytest.mark.parametrize(
    "plant",
    [
        _marks_what_may_not_be_marked,
        _forgets_what_it_missed,
        _loses_what_was_in_flight,
        _any_terminal_may_follow_any,
        _both_links_stay,
        _the_first_link_stays_whoever_is_newer,
        _never_resends,
        _custody_counts_as_a_receipt,
        _reads_nothing_anew,
        _never_hands_over_again,
        _anybody_is_believed,
        _never_pings,
    ],
    ids=lambda plant: plant.__name__.strip("_"),
)
def test_a_planted_bug_of_the_core_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert _found()

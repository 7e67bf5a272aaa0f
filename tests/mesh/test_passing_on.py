"""What is live and for somebody else is handed on at once or dropped: it costs the one in the middle no link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from relay.broker import reviewing, trials
from relay.broker.trial_serving import TrialServer
from relay.core.errors import PeerFault, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.link import RECEIVE_WINDOW
from relay.core.trials import Question
from relay.testing.bench_node import BenchNode, bench_mesh, drained, until, wall_ms
from relay.testing.carrier import MemoryNetwork
from tests.fuzz.specimens import REQUEST
from tests.mesh.conftest import Three, sealed_for


async def test_what_is_passed_on_never_goes_beyond_what_its_recipient_takes(three: Three) -> None:
    """One that passes on without end costs the one in the middle no link: what does not fit is dropped."""
    one, middle, other = three
    link = middle.mesh.link(other.id)
    assert link is not None
    raw = one.postbox.seal_live(other.id, Kind.LOG_DATA, _BIG, wall_ms())
    assert raw is not None
    for _ in range(200):
        middle.mesh.pass_on(one.id, [raw])
    assert link.machine.credit - link._sending._live.bytes >= RECEIVE_WINDOW // 2 - len(raw)
    await one.post(other.id, "after")
    await drained(one)
    assert middle.mesh.link(other.id) is link


_BIG = {"stream": bytes(16), "n": 0, "chunks": [["x" * 200_000]], "end": False}


async def test_only_what_is_not_kept_is_passed_on(three: Three) -> None:
    one, middle, other = three
    durable = await sealed_for(one, other)
    with pytest.raises(PeerFault):
        middle.mesh.pass_on(one.id, [durable])
    live = one.postbox.seal_live(other.id, Kind.LOG_DATA, _BIG, wall_ms())
    assert live is not None
    with pytest.raises(PeerFault):
        middle.mesh.pass_on(other.id, [live])
    with pytest.raises(PeerFault):
        middle.mesh.pass_on(one.id, [live[:-1] + bytes([live[-1] ^ 1])])


async def test_a_live_kind_of_a_later_version_is_dropped_and_ends_no_link(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, middle, other = three
    live = one.postbox.seal_live(other.id, Kind.LOG_DATA, _BIG, wall_ms())
    assert live is not None
    link = middle.mesh.link(other.id)
    assert link is not None
    monkeypatch.delitem(Kind._value2member_map_, "log.data")  # to this version it is not known
    middle.mesh.pass_on(one.id, [live])
    assert link._sending._live.bytes == 0
    assert middle.mesh.link(other.id) is link


@pytest.mark.parametrize("minutes", [2, 40 * 24 * 60])
async def test_what_is_live_passes_one_in_the_middle_whose_clock_is_ahead(three: Three, minutes: int) -> None:
    one, middle, other = three
    heard: list[bytes] = []
    other.inbox._hears[Kind.LOG_DATA] = lambda each: heard.append(each.header.id)
    middle.ahead_ms = minutes * 60_000
    assert one.mesh.say(other.id, Kind.LOG_DATA, _BIG)
    await until(lambda: heard, within=20, what="the piece")


@pytest.mark.parametrize("kind", [Kind.TRIAL_ASK, Kind.REVIEW_ASK])
async def test_what_one_in_the_middle_swallows_is_asked_for_over_another(
    tmp_path: Path, network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """A dry run and a look for questions: the next one takes the other way."""
    monkeypatch.setattr(trials, "WITHIN_S", 2.0)
    monkeypatch.setattr(reviewing, "WITHIN_S", 2.0)
    async with bench_mesh(tmp_path, 4, network, holders=[1, 2], apart=[(0, 3)]) as (one, first, second, other):
        await until(lambda: len(first.mesh.up) == 3 == len(second.mesh.up))
        await until(lambda: len(one.mesh.up) == 2)
        asked: list[Kind] = []
        other.hears[kind] = lambda each: asked.append(each.kind)
        swallowing: list[BenchNode] = []  # whichever is asked first
        for node in (first, second):
            monkeypatch.setattr(node.mesh, "pass_on", partial(pass_on_but_first, node, node.mesh.pass_on, swallowing))
        await ask(one, other, kind)
        assert not asked
        await ask(one, other, kind)
        await until(lambda: asked, what="the question over the other one")
        assert asked == [kind]


def pass_on_but_first(
    node: BenchNode,
    pass_on: Callable[[BrokerId, Sequence[bytes]], None],
    swallowing: list[BenchNode],
    peer: BrokerId,
    envelopes: Sequence[bytes],
) -> None:
    """Passes on, unless this is the node that swallows; it is where none is yet."""
    if (swallowing or [node])[0] is node:
        swallowing.append(node)
    else:
        pass_on(peer, envelopes)


async def is_there(broker: BrokerId) -> bool:
    """It is, and takes long over its word."""
    return True


async def ask(one: BenchNode, other: BenchNode, kind: Kind) -> None:
    """Ask that node something live; nobody answers."""
    if kind is Kind.TRIAL_ASK:
        server, known = cast("TrialServer", None), cast("trials.Known", None)
        room = trials.Trials(one.members, one.journal, one.mesh, server, known, is_there)
        with pytest.raises(Unreachable):
            await room._ask(Question(REQUEST), other.id)
    else:
        reviews = cast("reviewing.ReviewServer", None)
        review = reviewing.Review(one.members, one.store, one.mesh, reviews, lambda peer: "away")
        assert await review._looks.at(other.id) is None

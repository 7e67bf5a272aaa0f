"""A peer that does not read what it is told costs bounded memory, and in the end its link."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.carrier import Carrier
from relay.broker.live import ROOM_LIVE, LiveQueue
from relay.broker.sending import MAX_CONTROL, MAX_CONTROL_BYTES, Sending
from relay.core.errors import PeerFault
from relay.core.frames import Batch, Custody, Pong, Taken, unpack_frame
from relay.core.ids import BrokerId
from relay.core.link import MAX_IN_HAND, RECEIVE_WINDOW, LinkMachine
from tests.mesh.conftest import Pair


class Deaf(Carrier):
    """A carrier whose other side reads as much as it is let."""

    peer_public = bytes(32)
    dialled = True
    address = ""
    is_former = False
    at_once = None

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    def send_now(self, message: bytes) -> bool:
        return False

    async def receive(self) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing."""


def _sending(carrier: Deaf, machine: LinkMachine) -> Sending:
    return Sending(carrier, machine, BrokerId("b"), list, lambda: True, lambda: None, lambda: 0)


def test_of_answers_to_pings_the_last_one_waits() -> None:
    sending = _sending(Deaf(), LinkMachine(0))
    for n in range(1_000_000):
        sending.say(Pong(n))
    assert not sending._control and sending._pong is not None
    assert unpack_frame(sending._pong) == Pong(999_999)


@pytest.mark.parametrize("frame", [Taken((bytes(16),) * 32), Custody(((bytes(16), ""),))])
def test_who_lets_control_frames_pile_up_is_let_go(frame: Taken | Custody) -> None:
    sending = _sending(Deaf(), LinkMachine(0))
    with pytest.raises(PeerFault) as caught:
        for _ in range(MAX_CONTROL + 2):
            sending.say(frame)
    assert "does not read" in caught.value.why
    assert sending._control_bytes <= MAX_CONTROL_BYTES + 4_096


async def test_a_link_whose_peer_reads_nothing_ends_with_a_reason(pair: Pair) -> None:
    one, other = pair
    link = one.mesh.link(other.id)
    assert link is not None
    for _ in range(MAX_CONTROL + 2):
        link.say(Taken((bytes(16),)))
    await link.ended.wait()
    assert "does not read" in link.reason


async def test_what_is_live_goes_one_window_beyond_the_credit_and_no_further() -> None:
    """More would be more than the other side may have in hand, and would end the link there."""
    carrier, machine = Deaf(), LinkMachine(0)
    sending = _sending(carrier, machine)
    raw = bytes(100_000)
    out = 0
    for _ in range(MAX_IN_HAND // len(raw) + 20):
        sending.add_live(raw, Batch)
    while await sending._send_some_live():
        out = RECEIVE_WINDOW - machine.credit
    assert MAX_IN_HAND // 2 < out <= MAX_IN_HAND


def test_a_live_queue_says_what_it_drops() -> None:
    queue = LiveQueue()
    taken = 0
    while queue.add(bytes(1 << 20), Batch):
        taken += 1
    assert 0 < taken <= 16


async def test_of_many_that_wait_for_room_no_more_go_on_than_there_is_room_for() -> None:
    queue, most, added = LiveQueue(), 0, 0

    async def add() -> None:
        nonlocal most, added
        await queue.room()
        queue.add(b"x", Batch)
        most, added = max(most, queue.bytes), added + 1

    async with asyncio.TaskGroup() as group:
        for _ in range(ROOM_LIVE * 4):
            group.create_task(add())
        while added < ROOM_LIVE * 4:
            await asyncio.sleep(0)
            queue.next()
    assert most == ROOM_LIVE

"""What every carrier must do, asked of each carrier there is; then what the in-memory one may do besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from relay.broker.carrier import Carrier, CarrierClosed
from relay.broker.websocket import Listener, dial
from relay.core.errors import PeerFault, Unreachable
from relay.core.frames import MAX_FRAME
from relay.testing.carrier import CALM, Chaos, MemoryNetwork, connected
from relay.trust.tls import link_client_context, link_server_context
from tests.trust.seeds import HOME, LAPTOP, VPS

WITHIN = 10.0
MUCH = 32 * 1024 * 1024  # more than any buffers of TLS, sockets and carrier together

Ends = tuple[Carrier, Carrier]
Kind = Callable[[], AbstractAsyncContextManager[Ends]]


@asynccontextmanager
async def memory() -> AsyncIterator[Ends]:
    ends = connected(LAPTOP.public, VPS.public)
    yield ends
    await asyncio.gather(*(end.close() for end in ends))


@asynccontextmanager
async def slow_memory() -> AsyncIterator[Ends]:
    """The chaos carrier as far as the rules hold: each message is under way for a time of its own."""
    ends = connected(LAPTOP.public, VPS.public, Chaos(delay_ms=3), seed=7)
    yield ends
    await asyncio.gather(*(end.close() for end in ends))


async def no_pairing(connection: object) -> None:
    raise AssertionError("nobody pairs here")


@asynccontextmanager
async def websocket() -> AsyncIterator[Ends]:
    """Mutual TLS on loopback, with two identities of one workspace."""
    welcomed: asyncio.Queue[Carrier] = asyncio.Queue()
    over = asyncio.Event()

    async def welcome(carrier: Carrier) -> None:
        welcomed.put_nowait(carrier)
        await over.wait()

    listener = Listener(link_server_context(HOME, VPS), welcome, no_pairing)
    address = await listener.listen("127.0.0.1", 0)
    dialler = await dial(address, VPS.id, link_client_context(HOME, LAPTOP))
    accepted = await asyncio.wait_for(welcomed.get(), WITHIN)
    try:
        yield dialler, accepted
    finally:
        over.set()
        await asyncio.gather(dialler.close(), accepted.close())
        await listener.close()


@pytest.fixture(params=[memory, slow_memory, websocket], ids=["memory", "slow-memory", "websocket"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    kind: Kind = request.param
    async with kind() as both:
        yield both


@pytest.fixture(params=["dialler sends", "listener sends"])
def ways(request: pytest.FixtureRequest, ends: Ends) -> Ends:
    """The sending and the receiving end: each rule holds both ways."""
    return ends if request.param == "dialler sends" else ends[::-1]


async def soon(waiting: Awaitable[object]) -> object:
    return await asyncio.wait_for(waiting, WITHIN)


async def closed(waiting: Awaitable[object]) -> None:
    with pytest.raises(CarrierClosed):
        await soon(waiting)


async def test_each_end_knows_the_other(ends: Ends) -> None:
    dialler, listener = ends
    assert (dialler.peer_public, listener.peer_public) == (VPS.public, LAPTOP.public)
    assert (dialler.dialled, listener.dialled) == (True, False)
    assert dialler.address and listener.address


async def test_order_and_boundaries(ways: Ends) -> None:
    sender, receiver = ways
    messages = [b"%d" % at + bytes(at % 700) for at in range(400)] + [b""]

    async def send() -> None:
        for message in messages:
            await sender.send(message)

    sending = asyncio.create_task(send())
    assert [await soon(receiver.receive()) for _ in messages] == messages
    await sending


async def test_both_directions_at_once(ends: Ends) -> None:
    async def talk(end: Carrier) -> list[bytes]:
        async def send() -> None:
            for at in range(200):
                await end.send(at.to_bytes(2, "big") + bytes(5_000))

        sending = asyncio.create_task(send())
        heard = [(await end.receive())[:2] for _ in range(200)]
        await sending
        return heard

    for heard in await asyncio.wait_for(asyncio.gather(*map(talk, ends)), WITHIN):
        assert heard == [at.to_bytes(2, "big") for at in range(200)]


async def test_the_longest_frame_passes(ways: Ends) -> None:
    sender, receiver = ways
    await sender.send(bytes(MAX_FRAME))
    assert len(await soon(receiver.receive())) == MAX_FRAME  # type: ignore[arg-type]


async def test_a_longer_message_ends_the_connection(ways: Ends) -> None:
    sender, receiver = ways
    await sender.send(bytes(MAX_FRAME + 1))
    with pytest.raises((CarrierClosed, PeerFault)):
        await soon(receiver.receive())
    await closed(receiver.receive())
    await closed(sender.receive())
    await closed(sender.send(b"more"))


async def test_what_was_sent_before_a_close_arrives(ways: Ends) -> None:
    sender, receiver = ways
    for at in range(5):
        await sender.send(b"%d" % at)
    closing = asyncio.create_task(sender.close())
    assert [await soon(receiver.receive()) for _ in range(5)] == [b"%d" % at for at in range(5)]
    await closed(receiver.receive())
    await soon(closing)


async def test_a_close_wakes_who_waits_at_either_end(ways: Ends) -> None:
    closer, other = ways
    waiting = [asyncio.create_task(end.receive()) for end in ways]
    await closer.send(b"x")
    await asyncio.wait(waiting[1:], timeout=WITHIN)
    waiting[1] = asyncio.create_task(other.receive())
    await soon(closer.close())
    for task in waiting:
        await closed(task)


async def test_after_a_close_nothing_goes(ways: Ends) -> None:
    closer, other = ways
    await soon(closer.close())
    await closed(closer.send(b"x"))
    await closed(closer.receive())
    await closed(other.receive())
    await closed(other.send(b"x"))
    await soon(closer.close())
    await soon(other.close())


async def test_a_slow_reader_makes_send_wait(ways: Ends) -> None:
    """Memory is bounded: the sender stops long before all is sent, and goes on when the reader does."""
    sender, receiver = ways
    message, sent = bytes(256 * 1024), 0
    moved = asyncio.Event()

    async def send() -> None:
        nonlocal sent
        while sent < MUCH:
            await sender.send(message)
            sent += len(message)
            moved.set()

    sending = asyncio.create_task(send())
    await soon(moved.wait())
    await _until_still(moved)
    assert 0 < sent < MUCH and not sending.done()
    for _ in range(MUCH // len(message)):
        await soon(receiver.receive())
    await soon(sending)


async def _until_still(moved: asyncio.Event) -> None:
    """Wait until nothing has moved for a third of a second."""
    while True:
        moved.clear()
        try:
            await asyncio.wait_for(moved.wait(), 0.3)
        except TimeoutError:
            return


async def test_a_close_wakes_a_sender_that_waits(ways: Ends) -> None:
    sender, receiver = ways
    message, moved = bytes(256 * 1024), asyncio.Event()

    async def send() -> None:
        while True:
            await sender.send(message)
            moved.set()

    sending = asyncio.create_task(send())
    await _until_still(moved)
    closing = asyncio.create_task(receiver.close())
    await closed(sending)
    await soon(closing)


# the in-memory one, beyond the seam


async def heard(receiver: Carrier) -> list[bytes]:
    messages = []
    try:
        while True:
            messages.append(await receiver.receive())
    except CarrierClosed:
        return messages


async def sent_through(chaos: Chaos, seed: int, count: int = 200) -> list[bytes]:
    sender, receiver = connected(LAPTOP.public, VPS.public, chaos, seed)
    hearing = asyncio.create_task(heard(receiver))
    try:
        for at in range(count):
            await sender.send(at.to_bytes(2, "big"))
    except CarrierClosed:
        pass
    await sender.close()
    return await asyncio.wait_for(hearing, WITHIN)


NUMBERS = [at.to_bytes(2, "big") for at in range(200)]


async def test_delay_keeps_the_order() -> None:
    assert await sent_through(Chaos(delay_ms=5), 1) == NUMBERS


async def test_duplicates_come_behind_their_originals() -> None:
    got = await sent_through(Chaos(duplicate=0.2), 2)
    assert len(got) > 200 and sorted(set(got)) == NUMBERS and got == sorted(got)


async def test_reordered_messages_all_come() -> None:
    sender, receiver = connected(LAPTOP.public, VPS.public, Chaos(reorder=0.2, delay_ms=2), 3)
    for number in NUMBERS:
        await sender.send(number)
    got = [await asyncio.wait_for(receiver.receive(), WITHIN) for _ in NUMBERS]
    assert got != NUMBERS and sorted(got) == NUMBERS


async def test_a_corrupted_message_differs_in_one_bit() -> None:
    got = await sent_through(Chaos(corrupt=0.2), 4)
    bits = [(int.from_bytes(one) ^ int.from_bytes(other)).bit_count() for one, other in zip(NUMBERS, got, strict=True)]
    assert set(bits) == {0, 1}


async def test_a_cut_loses_the_connection_for_both() -> None:
    got = await sent_through(Chaos(cut=0.02), 5)
    assert got == NUMBERS[: len(got)] and len(got) < 200


async def test_a_seed_decides() -> None:
    chaos = Chaos(duplicate=0.1, corrupt=0.1)
    assert await sent_through(chaos, 6) == await sent_through(chaos, 6) != await sent_through(chaos, 7)


async def test_a_partition_holds_back_and_hides_a_close() -> None:
    network, welcomed = MemoryNetwork(CALM), asyncio.Queue[Carrier]()

    async def welcome(carrier: Carrier) -> None:
        welcomed.put_nowait(carrier)

    network.listen(VPS.public, welcome)
    dialler = await network.dial(LAPTOP.public, VPS.id)
    listener = await welcomed.get()
    network.partition(LAPTOP.id, VPS.id)
    with pytest.raises(Unreachable):
        await network.dial(LAPTOP.public, VPS.id)
    await dialler.send(b"held")
    await dialler.close()
    await listener.send(b"into the void")  # half open: this end has not heard
    waiting = asyncio.create_task(listener.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    network.heal(LAPTOP.id, VPS.id)
    assert await soon(waiting) == b"held"
    await closed(listener.receive())
    network.leave(VPS.id)
    with pytest.raises(Unreachable):
        await network.dial(LAPTOP.public, VPS.id)
    await network.close()
    assert network.failures == []

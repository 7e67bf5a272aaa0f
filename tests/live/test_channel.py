"""One channel, its two ends joined by a wire that a test bends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from relay.broker.channel import WINDOW, Channel, Message
from relay.broker.passing import Holder, UnderWay
from relay.broker.pipe import pair
from relay.core.errors import Code, Misuse, PeerFault, RelayError, Unreachable

STREAM, SESSION = bytes(16), b"s" * 16


class Wire:
    """Two ends; what they say is carried at once, unless the test takes it out."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Message]] = []
        self.lose = 0
        self.ended: list[bytes] = []
        self.asker = Channel(STREAM, b"", lambda what, content: self._carry(self.server, what, content), self._over)
        self.server = Channel(STREAM, SESSION, lambda what, content: self._carry(self.asker, what, content), self._over)

    def _over(self, stream: bytes) -> None:
        self.ended.append(stream)

    def _carry(self, to: Channel, what: str, content: Message) -> bool:
        self.said.append((what, content))
        if self.lose:
            self.lose -= 1
        elif what == "data":
            to.data(content)
        else:
            to.closed(content)
        return True


@pytest.fixture
async def wire() -> Wire:
    made = Wire()
    await made.server.send({"k": "hello"})
    await made.asker.opened()
    assert await made.asker.receive() == {"k": "hello"}
    return made


async def test_both_ways_in_order_and_an_end_after_the_last(wire: Wire) -> None:
    for n in range(100):
        await wire.asker.send({"n": n})
        assert await wire.server.receive() == {"n": n}
    await wire.server.send({"last": 1})
    wire.server.close()
    assert await wire.asker.receive() == {"last": 1}
    assert await wire.asker.receive() is None
    assert wire.ended == [STREAM, STREAM]
    with pytest.raises(RelayError):
        await wire.asker.send({})


async def test_one_that_is_over_before_it_is_looked_at_has_said_all_it_said() -> None:
    wire = Wire()
    await wire.server.send({"k": "hello"})
    wire.server.close(Misuse("and no more"))
    await wire.asker.opened()
    assert await wire.asker.receive() == {"k": "hello"}
    with pytest.raises(Misuse, match="and no more"):
        await wire.asker.receive()


async def test_one_that_was_refused_was_not_opened() -> None:
    wire = Wire()
    wire.server.close(Misuse("not so"))
    with pytest.raises(Misuse, match="not so"):
        await wire.asker.opened()


async def test_an_error_arrives_as_it_is(wire: Wire) -> None:
    wire.server.close(Misuse("not so", code=Code.CONFLICT))
    with pytest.raises(Misuse, match="not so"):
        await wire.asker.receive()


async def test_who_does_not_read_holds_up_who_writes(wire: Wire) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            for _ in range(WINDOW * 2):
                await wire.asker.send({})
    sent = sum(what == "data" and content["session"] == SESSION for what, content in wire.said)
    for _ in range(WINDOW // 2):
        await wire.server.receive()
    await wire.asker.send({})
    assert sent == WINDOW + 1  # the server's hello is one of them


async def test_all_who_write_over_one_holder_get_their_turn() -> None:
    loop, holder, wires = asyncio.get_running_loop(), Holder(), [Wire() for _ in range(4)]
    taken = [0 for _ in wires]

    def late(to: Channel) -> Callable[[str, Message], bool]:
        return lambda what, content: bool(loop.call_later(0.001, to.data, content)) and what == "data"

    async def write(by: Channel) -> None:
        while True:
            await by.send({"data": bytes(32 * 1024)})

    async def read(n: int, at: Channel) -> None:
        while min(taken) < 100:
            taken[n] += await at.receive() is not None

    for each in wires:
        each.asker = Channel(STREAM, SESSION, late(each.server), each._over, under_way=UnderWay(holder, True))
        each.server = Channel(STREAM, SESSION, late(each.asker), each._over, under_way=UnderWay(Holder(), True))
        each.asker._say, each.server._say = late(each.server), late(each.asker)
    writers = [asyncio.ensure_future(write(each.asker)) for each in wires]
    async with asyncio.timeout(10):
        readers = [asyncio.ensure_future(read(n, each.server)) for n, each in enumerate(wires)]
        await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
    assert max(taken) < 2 * min(taken)
    for task in (*writers, *readers):
        task.cancel()


@pytest.mark.parametrize("lost", ["message", "last message"])
async def test_a_lost_piece_breaks_it(wire: Wire, lost: str) -> None:
    wire.lose = 1
    await wire.server.send({"n": 1})
    if lost == "message":
        await wire.server.send({"n": 2})
    else:
        wire.server.close()
    with pytest.raises(Unreachable):
        await wire.asker.receive()
    assert wire.asker.has_ended and wire.server.has_ended


async def test_what_comes_again_or_is_of_another_session_counts_for_nothing(wire: Wire) -> None:
    await wire.asker.send({"typed": "ls"})
    content: dict[str, Any] = wire.said[-1][1]
    wire.server.data(content)
    wire.server.data(content | {"n": 1, "session": b"o" * 16, "message": {"typed": "rm"}})
    wire.server.data(content | {"n": 1, "session": b"", "message": {"typed": "rm"}})
    await wire.asker.send({"typed": "pwd"})
    assert [await wire.server.receive() for _ in range(2)] == [{"typed": "ls"}, {"typed": "pwd"}]


async def test_more_than_was_asked_for_breaks_it(wire: Wire) -> None:
    for n in range(1, WINDOW + 2):
        wire.asker.data({"stream": STREAM, "session": SESSION, "n": n, "ack": 0, "message": {}})
    assert wire.asker.has_ended


@pytest.mark.parametrize("change", [{"n": "1"}, {"ack": None}, {"message": []}, {"n": True}])
async def test_other_forms_are_refused(wire: Wire, change: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        wire.asker.data({"stream": STREAM, "session": SESSION, "n": 1, "ack": 0, "message": {}} | change)


async def test_a_pipe_is_the_same_to_those_who_talk() -> None:
    one, other = pair()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            for n in range(WINDOW * 2):
                await one.send({"n": n})
    assert [await other.receive() for _ in range(WINDOW)] == [{"n": n} for n in range(WINDOW)]
    await other.send({"last": 1})
    other.close(Misuse("no"))
    assert await one.receive() == {"last": 1}
    with pytest.raises(Misuse):
        await one.receive()
    with pytest.raises(Unreachable):
        await one.send({})

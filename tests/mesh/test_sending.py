"""What goes out over a link, in batches, until there is no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from relay.broker.sending import Sending
from relay.core.delivery import Outgoing, Window
from relay.core.frames import MAX_BATCH, Batch, unpack_frame
from relay.core.ids import BrokerId
from relay.core.link import LinkMachine
from tests.mesh.test_unread import Deaf

BEHIND = 3


class _Telling(Deaf):
    """Tells when something was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    async def send(self, message: bytes) -> None:
        await super().send(message)
        self.told.set()


class _Withdrawn:
    """Rows of which a whole batch is taken back before it is sent."""

    for_another = False

    def __init__(self) -> None:
        self.window = Window(complete=True)
        for n in range(1, MAX_BATCH + BEHIND + 1):
            self.window.offer(Outgoing(n, n.to_bytes(16, "big"), b"%d" % n, tried=n > MAX_BATCH))

    async def refill(self) -> None:
        """Nothing is stored."""

    async def mark_tried(self, rows: Sequence[Outgoing]) -> list[Outgoing]:
        standing = [row for row in rows if row.tried]
        self.window.drop(row.id for row in rows if not row.tried)
        return standing


async def test_where_a_whole_batch_was_taken_back_what_is_behind_it_goes_all_the_same() -> None:
    carrier, load = _Telling(), _Withdrawn()
    sending = Sending(carrier, LinkMachine(0), BrokerId("b"), lambda: [load], lambda: True, lambda: None, lambda: 0)
    running = asyncio.create_task(sending.run())
    sending.wake()
    async with asyncio.timeout(5):
        await carrier.told.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert [unpack_frame(each) for each in carrier.sent] == [
        Batch(tuple(b"%d" % n for n in range(MAX_BATCH + 1, MAX_BATCH + BEHIND + 1)))
    ]
    assert not load.window.has_more
